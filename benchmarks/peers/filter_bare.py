"""Blur a volume from store to store with bare TensorStore, two threads and our kernel: SOURCE. The least it can take.

No ledger, no files of a known name until they are whole, no digest, no pyramid, no plan: blocks are handed to threads.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import tensorstore as ts
from turn import serve

from corpuscle.ops.smooth import gaussian

SIGMA, HALO, BLOCK = 2.0, 8, 256
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
    """Each thread reads a block with its halo through the cache that both share, blurs it, and writes its shard."""
    context = ts.Context({"cache_pool": {"total_bytes_limit": 256 << 20}})
    where = {"driver": "zarr3", "kvstore": {"driver": "file", "path": sys.argv[1]}}
    source = ts.open(where, open=True, context=context).result()
    grid = {"name": "regular", "configuration": {"chunk_shape": [BLOCK] * 3}}
    like = {"shape": list(source.shape), "data_type": source.dtype.name, "chunk_grid": grid, "codecs": CODECS}
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": out}, "metadata": like}
    target = ts.open(spec, create=True).result()

    def one(start):
        own = [(a, min(a + BLOCK, n)) for a, n in zip(start, source.shape, strict=True)]
        read = [(max(a - HALO, 0), min(b + HALO, n)) for (a, b), n in zip(own, source.shape, strict=True)]
        pixels = source[tuple(slice(a, b) for a, b in read)].read().result()
        smooth = gaussian(pixels, sigma=SIGMA)
        inner = tuple(slice(a - lo, b - lo) for (a, b), (lo, _) in zip(own, read, strict=True))
        target[tuple(slice(a, b) for a, b in own)].write(smooth[inner]).result()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, product(*(range(0, n, BLOCK) for n in source.shape))))


if __name__ == "__main__":
    serve(job)
