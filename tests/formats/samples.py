"""One small file of every format, with the pixels that are in it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from corpuscle.formats import c01, png, rgbmask

Make = Callable[[Path], NDArray[Any]]


def picture(shape: tuple[int, ...] = (33, 47), dtype: str = "u2", seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200 if dtype == "u1" else 4095, shape).astype(dtype)


def labels(shape: tuple[int, int] = (96, 130), side: int = 9, gap: int = 4) -> NDArray[np.int32]:
    out = np.zeros(shape, np.int32)
    n = 0
    for y in range(gap, shape[0] - side, side + gap):
        for x in range(gap, shape[1] - side, side + gap):
            n += 1
            out[y : y + side, x : x + side] = n
    return out


def make_c01(path: Path) -> NDArray[Any]:
    path.write_bytes(c01.encode(picture(), um_per_px=0.645, level=6))
    return picture()


def make_dib(path: Path) -> NDArray[Any]:
    path.write_bytes(c01.encode(picture(), compressed=False))
    return picture()


def make_npy(path: Path) -> NDArray[Any]:
    with open(path, "wb") as file:
        np.save(file, picture((3, 20, 30), "f4"))
    return picture((3, 20, 30), "f4")


def make_png(path: Path) -> NDArray[Any]:
    path.write_bytes(png.encode(picture(), texts={"P_lo": 1.5, "corpuscle:normalised": True}))
    return picture()


def make_png_rgb(path: Path) -> NDArray[Any]:
    path.write_bytes(png.encode(picture((33, 47, 3), "u1")))
    return np.moveaxis(picture((33, 47, 3), "u1"), -1, 0)


def make_rgbmask(path: Path) -> NDArray[Any]:
    path.write_bytes(png.encode(rgbmask.encode(labels())))
    return labels()


def make_ome_tiff(path: Path) -> NDArray[Any]:
    data = picture((2, 3, 20, 30))
    with open(path, "wb") as file:
        tifffile.imwrite(
            file, data, ome=True, compression="zlib", photometric="minisblack",
            metadata={"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        )  # fmt: skip
    return data


def make_imagej_tiff(path: Path) -> NDArray[Any]:
    data = picture((4, 20, 30))
    with open(path, "wb") as file:
        tifffile.imwrite(file, data, imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um"})
    return data


def make_tiled_tiff(path: Path) -> NDArray[Any]:
    with open(path, "wb") as file:
        tifffile.imwrite(file, picture((70, 90)), tile=(16, 32), compression="lzw", bigtiff=True, metadata=None)
    return picture((70, 90))


def make_dsb_zip(path: Path) -> NDArray[Any]:
    image, found = picture((96, 130), "u1"), labels()
    rgba = np.stack([image, image, image, np.full_like(image, 255)], axis=-1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stage/a/images/a.png", _pillow(rgba))
        for i in range(1, 6):
            archive.writestr(f"stage/a/masks/{i}.png", png.encode(((found == i) * 255).astype(np.uint8)))
    return image


def make_billion_laughs(path: Path) -> NDArray[Any]:
    path.write_bytes(b'<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY lol "lol">]>\n<lolz>&lol;</lolz>')
    return picture()


def make_pickle(path: Path) -> NDArray[Any]:
    path.write_bytes(pickle.dumps({"masks": [1, 2, 3]}))
    return picture()


def make_seg_npy(path: Path) -> NDArray[Any]:
    stream = io.BytesIO()
    np.save(stream, np.array({"masks": [1]}, dtype=object), allow_pickle=True)
    path.write_bytes(stream.getvalue())
    return picture()


def _pillow(pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


READ: dict[str, tuple[str, Make]] = {
    "plate 1_A01f00d0.C01": ("c01", make_c01),
    "image1.dib": ("c01", make_dib),
    "array.npy": ("npy", make_npy),
    "grey.png": ("png", make_png),
    "rgb.png": ("png", make_png_rgb),
    "m_objects.png": ("rgbmask", make_rgbmask),
    "stack.ome.tif": ("tiff", make_ome_tiff),
    "hyper.tif": ("tiff", make_imagej_tiff),
    "tiled.tiff": ("tiff", make_tiled_tiff),
    "dsb.zip": ("dsb2018", make_dsb_zip),
}
REFUSED: dict[str, tuple[str, Make]] = {
    "laughs.xml": ("xml-entities", make_billion_laughs),
    "x.pkl": ("pickle", make_pickle),
    "x_seg.npy": ("npy-pickle", make_seg_npy),
}
