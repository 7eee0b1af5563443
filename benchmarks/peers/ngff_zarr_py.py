"""Write pairs of image and labels with ngff-zarr, packed as it does by itself: IMAGES LABELS OUT LEVELS REPEATS."""

import json
import sys
import time
import warnings
from pathlib import Path

import ngff_zarr
import numpy as np

warnings.simplefilter("ignore")


def write(pixels, where, levels, method):
    image = ngff_zarr.to_ngff_image(
        pixels,
        dims=["y", "x"],
        scale={"y": 0.454, "x": 0.454},
        axes_units={"y": "micrometer", "x": "micrometer"},
    )
    factors = [2**k for k in range(1, levels)]
    pyramid = ngff_zarr.to_multiscales(image, scale_factors=factors, method=method, chunks=512)
    whole = {a: -(-n // min(512, n)) for a, n in zip("yx", pixels.shape, strict=True)}
    ngff_zarr.to_ngff_zarr(where, pyramid, version="0.5", chunks_per_shard=whole)


images, labels = (np.load(p) for p in sys.argv[1:3])
out, levels, repeats = Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
for r in range(repeats + 1):
    start, cpu = time.perf_counter(), time.process_time()
    for k, (image, truth) in enumerate(zip(images, labels, strict=True)):
        where = str(out / f"{r}" / f"{k}.zarr")
        write(image, where, levels, ngff_zarr.Methods.DASK_BIN_SHRINK)
        write(truth, where + "/labels/nuclei", levels, ngff_zarr.Methods.DASK_IMAGE_NEAREST)
    if r:
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)
