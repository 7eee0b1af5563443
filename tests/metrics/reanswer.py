"""Asks StarDist and HoVer-Net for their scores of the twenty pairs and prints the answers as JSON.

Run by hand, where both are installed, with the files that hold their metrics:
python -m tests.metrics.reanswer STARDIST/matching.py HOVER_NET/metrics/stats_utils.py > tests/metrics/data/peers.json
The answers kept are those of StarDist 0.9.2 and hover-net 0.0.10.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from tests.metrics.cases import pairs

THRESHOLDS = [round(k * 0.05, 2) for k in range(10, 20)]


def load(name: str, path: Path) -> Any:
    """A module by its file alone; what it imports besides numpy and scipy is not needed for scores."""
    for absent in ("csbdeep", "csbdeep.utils", "cv2", "matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(absent, types.ModuleType(absent))
    vars(sys.modules["csbdeep.utils"])["_raise"] = None
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(stardist: Any, hover: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, truth, guess in pairs():
        # StarDist sets up a table as long as the largest label, which here would be terabytes.
        small = [
            np.unique(a, return_inverse=True)[1].reshape(a.shape) if a.max() > 2**30 else a for a in (truth, guess)
        ]
        said = stardist.matching(*small, thresh=THRESHOLDS)
        out[name] = {
            "stardist": [
                [
                    int(m.tp),
                    int(m.fp),
                    int(m.fn),
                    *map(float, (m.f1, m.accuracy, m.panoptic_quality, m.mean_matched_score)),
                ]
                for m in said
            ],
            "hover": None,
        }
        if truth.any() and guess.any():
            # Its remap wants a background to remove, so every image gets one.
            t, g = (hover.remap_label(np.pad(a, 1)) for a in (truth, guess))
            (dq, sq, _), (paired, *_) = hover.get_fast_pq(t, g)
            n = len(paired)
            # Without the 1e-6 that it adds to the divisor of SQ.
            sq = float(sq) * (n + 1e-6) / n if n else None
            out[name]["hover"] = [
                float(hover.get_fast_aji(t, g)),
                float(hover.get_fast_aji_plus(t, g)),
                float(dq),
                sq,
            ]
    return out


if __name__ == "__main__":
    first, second = map(Path, sys.argv[1:3])
    print(json.dumps(answers(load("stardist_matching", first), load("hover_stats", second)), indent=1))
