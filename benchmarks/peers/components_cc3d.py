"""Number the connected components of a mask with cc3d, in memory: MASK (npy). The first answer is kept as npy."""

import sys
import time
from pathlib import Path

import cc3d
import numpy as np
from turn import serve


def job(out):
    start = time.perf_counter()
    labels, count = cc3d.connected_components(MASK, connectivity=26, return_N=True, binary_image=True)
    seconds = time.perf_counter() - start
    if not Path(sys.argv[2]).exists():
        np.save(sys.argv[2], labels)
    return {"seconds": seconds, "count": int(count)}


if __name__ == "__main__":
    MASK = np.load(sys.argv[1])
    serve(job)
