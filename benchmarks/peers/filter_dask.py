"""Blur a volume from store to store with dask.array.map_overlap: SOURCE threads|distributed BLOCK scipy|ours."""

import sys

import dask
import dask.array as da
import numpy as np
import zarr
from scipy import ndimage
from turn import serve
from zarr.codecs import BloscCodec

SIGMA, DEPTH = 2.0, 8


def blur(block):
    smooth = ndimage.gaussian_filter(block.astype(np.float32), SIGMA, truncate=4.0)
    return np.rint(smooth, out=smooth).astype(block.dtype)


def blur_compiled(block):
    from corpuscle.ops.smooth import gaussian

    return gaussian(block, sigma=SIGMA)


def job(out):
    """Boundary "none": at the edge of the volume the filter mirrors by itself, which saves a copy."""
    source = da.from_zarr(zarr.open_array(SOURCE, mode="r"), chunks=(BLOCK,) * 3)
    kernel = blur_compiled if KERNEL == "ours" else blur
    smooth = source.map_overlap(
        kernel, depth=DEPTH, boundary="none", dtype=source.dtype, meta=np.empty((0,) * 3, source.dtype)
    )
    target = zarr.create_array(
        out,
        shape=source.shape,
        dtype=source.dtype,
        chunks=(64,) * 3,
        shards=(BLOCK,) * 3,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
    )
    da.store(smooth, target, lock=False)


if __name__ == "__main__":
    SOURCE, SCHEDULER, BLOCK, KERNEL = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    zarr.config.set({"threading.max_workers": 2})
    if SCHEDULER == "threads":
        with dask.config.set(scheduler="threads", num_workers=2):
            serve(job)
    else:
        from distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            serve(job)
