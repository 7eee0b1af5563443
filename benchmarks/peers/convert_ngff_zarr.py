"""A TIFF stack to sharded OME-Zarr 0.5 with ngff-zarr, two threads, packed as it does by itself: TIFF LEVELS."""

import sys
import warnings

import dask
import dask.array as da
import ngff_zarr
import tifffile
from turn import serve

warnings.simplefilter("ignore")


def job(out):
    pixels = da.from_array(tifffile.memmap(sys.argv[1], mode="r"), chunks=(256,) * 3)
    image = ngff_zarr.to_ngff_image(pixels, dims=["z", "y", "x"])
    factors = [2**k for k in range(1, int(sys.argv[2]))]
    method = ngff_zarr.Methods.DASK_BIN_SHRINK
    pyramid = ngff_zarr.to_multiscales(image, scale_factors=factors, method=method, chunks=64)
    ngff_zarr.to_ngff_zarr(out, pyramid, version="0.5", chunks_per_shard=4)


if __name__ == "__main__":
    with dask.config.set(scheduler="threads", num_workers=2):
        serve(job)
