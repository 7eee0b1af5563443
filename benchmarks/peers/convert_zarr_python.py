"""A TIFF stack to sharded Zarr with a pyramid, in a loop with zarr-python: TIFF LEVELS."""

import sys
from itertools import product

import numpy as np
import tifffile
import zarr
from turn import serve
from zarr.codecs import BloscCodec

SHARD = 256


def boxes(shape):
    for start in product(*(range(0, n, SHARD) for n in shape)):
        yield tuple(slice(a, min(a + SHARD, n)) for a, n in zip(start, shape, strict=True))


def halved(pixels):
    """Means of 2 x 2 x 2, rounded; the sum over one axis at a time, which is the quickest way in NumPy."""
    total = pixels.astype(np.uint32)
    for axis in range(3):
        even = [slice(None)] * 3
        odd = [slice(None)] * 3
        even[axis], odd[axis] = slice(0, None, 2), slice(1, None, 2)
        total = total[tuple(even)] + total[tuple(odd)]
    return ((total + 4) >> 3).astype(pixels.dtype)


def job(out):
    source = tifffile.memmap(sys.argv[1], mode="r")
    group = zarr.create_group(out)
    below = source
    for k in range(int(sys.argv[2])):
        shape = source.shape if k == 0 else tuple(n // 2 for n in below.shape)
        packed = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
        chunks = tuple(min(64, n) for n in shape)
        shards = tuple(c * max(1, min(SHARD // c, -(-n // c))) for c, n in zip(chunks, shape, strict=True))
        array = group.create_array(
            str(k), shape=shape, dtype=source.dtype, chunks=chunks, shards=shards, compressors=packed
        )
        for box in boxes(shape):
            if k == 0:
                array[box] = source[box]
            else:
                array[box] = halved(below[tuple(slice(2 * s.start, 2 * s.stop) for s in box)])
        below = array


if __name__ == "__main__":
    zarr.config.set({"threading.max_workers": 2})
    serve(job)
