"""Write pairs of image and labels with zarr-python by hand: IMAGES LABELS OUT LEVELS REPEATS."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec


def halved(pixels, labels):
    y, x = (n // 2 * 2 for n in pixels.shape)
    if labels:
        return pixels[:y:2, :x:2]
    four = pixels[:y, :x].reshape(y // 2, 2, x // 2, 2)
    return np.rint(four.mean((1, 3))).astype(pixels.dtype)


def write(pixels, group, levels, name, labels):
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    datasets = []
    for k in range(levels):
        pixels = halved(pixels, labels) if k else pixels
        chunk = tuple(min(512, n) for n in pixels.shape)
        shard = tuple(c * -(-n // c) for c, n in zip(chunk, pixels.shape, strict=True))
        array = group.create_array(
            str(k),
            shape=pixels.shape,
            dtype=pixels.dtype,
            chunks=chunk,
            shards=shard,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=pixels.itemsize),
            dimension_names=("y", "x"),
        )
        array[...] = pixels
        moved = [{"type": "scale", "scale": [0.454 * 2**k] * 2}]
        datasets.append({"path": str(k), "coordinateTransformations": moved})
    ome = {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}
    group.attrs["ome"] = ome | ({"image-label": {"source": {"image": "../../"}}} if labels else {})


images, labels = (np.load(p) for p in sys.argv[1:3])
out, levels, repeats = Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
for r in range(repeats + 1):
    start, cpu = time.perf_counter(), time.process_time()
    for k, (image, truth) in enumerate(zip(images, labels, strict=True)):
        root = zarr.create_group(out / f"{r}" / f"{k}.zarr", zarr_format=3)
        write(image, root, levels, "image", False)
        beneath = root.create_group("labels")
        beneath.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
        write(truth, beneath.create_group("nuclei"), levels, "nuclei", True)
    if r:
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)
