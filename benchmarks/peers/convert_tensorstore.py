"""Write level 0 of a sharded Zarr array with TensorStore, from memory: TIFF. Two shards are under way at a time."""

import sys
from collections import deque
from itertools import product

import tensorstore as ts
import tifffile
from turn import serve

SHARD = 256
CODECS = [
    {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [64, 64, 64],
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle"}},
            ],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        },
    }
]


def job(out):
    grid = {"name": "regular", "configuration": {"chunk_shape": [SHARD] * 3}}
    like = {"shape": list(PIXELS.shape), "data_type": PIXELS.dtype.name, "chunk_grid": grid, "codecs": CODECS}
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": out}, "metadata": like}
    target = ts.open(spec, create=True, context=ts.Context({"data_copy_concurrency": {"limit": 2}})).result()
    flying = deque()
    for start in product(*(range(0, n, SHARD) for n in PIXELS.shape)):
        box = tuple(slice(a, min(a + SHARD, n)) for a, n in zip(start, PIXELS.shape, strict=True))
        flying.append(target[box].write(PIXELS[box]))
        if len(flying) > 2:
            flying.popleft().result()
    for write in flying:
        write.result()


if __name__ == "__main__":
    PIXELS = tifffile.imread(sys.argv[1])
    serve(job)
