"""Write pairs of image and labels with ome-zarr-py: IMAGES LABELS OUT LEVELS REPEATS."""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image, write_labels
from zarr.codecs import BloscCodec

warnings.simplefilter("ignore")


def options(pixels, levels):
    out = []
    for k in range(levels):
        shape = [n // 2**k for n in pixels.shape]
        chunk = tuple(min(512, n) for n in shape)
        shard = tuple(c * -(-n // c) for c, n in zip(chunk, shape, strict=True))
        packed = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=pixels.itemsize)
        out.append({"chunks": chunk, "shards": shard, "compressors": packed})
    return out


images, labels = (np.load(p) for p in sys.argv[1:3])
out, levels, repeats = Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
factors = [2**k for k in range(1, levels)]
scale, units = {"y": 0.454, "x": 0.454}, {"y": "micrometer", "x": "micrometer"}
for r in range(repeats + 1):
    start, cpu = time.perf_counter(), time.process_time()
    for k, (image, truth) in enumerate(zip(images, labels, strict=True)):
        where = str(out / f"{r}" / f"{k}.zarr")
        same = {"axes": "yx", "scale_factors": factors, "scale": scale, "axes_units": units}
        write_image(image, where, method=Methods.LOCAL_MEAN, storage_options=options(image, levels), **same)
        write_labels(truth, where, name="nuclei", scaler=None, storage_options=options(truth, levels), **same)
    if r:
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)
