"""Score pairs of labels with stardist.matching: PAIRS (npz) REPEATS."""

import json
import sys
import time

import numpy as np
from stardist.matching import matching

held = np.load(sys.argv[1])
pairs = [(held[f"truth{k}"], held[f"guess{k}"]) for k in range(len(held.files) // 2)]
thresholds = [round(k * 0.05, 2) for k in range(10, 20)]
matching(*pairs[0], thresh=thresholds)
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    said = [matching(t, g, thresh=thresholds) for t, g in pairs]
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
print(json.dumps({"counts": [[[int(m.tp), int(m.fp), int(m.fn)] for m in pair] for pair in said],
                  "pq": [float(pair[0].panoptic_quality) for pair in said]}))  # fmt: skip
