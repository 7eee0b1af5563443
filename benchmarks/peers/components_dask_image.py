"""Number the connected components of a mask with dask-image, from store to store on two threads: SOURCE."""

import sys

import dask
import dask.array as da
import numpy as np
import zarr
from dask_image import ndmeasure
from turn import serve
from zarr.codecs import ZstdCodec

BLOCK = 256


def job(out):
    source = da.from_zarr(zarr.open_array(sys.argv[1], mode="r"), chunks=(BLOCK,) * 3)
    labels, count = ndmeasure.label(source, structure=np.ones((3, 3, 3), bool))
    target = zarr.create_array(
        out,
        shape=labels.shape,
        dtype=labels.dtype,
        chunks=(64,) * 3,
        shards=(BLOCK,) * 3,
        compressors=ZstdCodec(level=3),
    )
    stored = da.store(labels.rechunk(BLOCK), target, lock=False, compute=False)
    _, n = dask.compute(stored, count)
    return {"count": int(n)}


if __name__ == "__main__":
    zarr.config.set({"threading.max_workers": 2})
    with dask.config.set(scheduler="threads", num_workers=2):
        serve(job)
