"""A plate shows as one small picture, in about ten requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import tensorstore as ts

from corpuscle.core import Channel, Image, Space
from corpuscle.formats import omezarr, preview
from corpuscle.formats.plates import parse_plate, write_plate

ROWS, COLUMNS = "ABCDEFGHIJKLMNOP", [f"{i:02d}" for i in range(1, 25)]


def plate(path: Path, wells: dict[str, list[str]], shape: tuple[int, ...] = (2, 40, 30)) -> None:
    for k, (well, fields) in enumerate(wells.items()):
        for f, field in enumerate(fields):
            pixels = np.full(shape, 100 * k + 10 * f, "u2") + np.arange(2, dtype="u2")[:, None, None]
            image = Image(pixels, Space("cyx"), (Channel("d0"), Channel("d1")))
            omezarr.write(image, path / well / field)
    write_plate(path, wells, rows=ROWS, columns=COLUMNS, extra={"kept": 1})


def test_every_well_has_its_tile(tmp_path: Path) -> None:
    wells = {"A/01": ["0", "1", "2"], "C/24": ["0"], "P/02": ["0"]}
    plate(tmp_path / "p", wells)
    assert preview.write_preview(tmp_path / "p") == ()
    image = omezarr.read_image(tmp_path / "p/preview")
    assert image.shape == (2, 16 * 128, 24 * 128)
    assert image.dtype == np.uint8
    assert [c.name for c in image.channels] == ["d0", "d1"]
    pixels = image.read()[0]
    attributes = json.loads((tmp_path / "p/zarr.json").read_text())["attributes"]
    assert attributes["corpuscle"] == {
        "kept": 1,
        "preview": {"path": "preview", "tile": 128, "fields": "middle", "rows": 16, "columns": 24},
    }
    about = parse_plate(attributes)
    seen = np.zeros(pixels.shape, bool)
    means = {}
    for well in wells:
        box = preview.tile_box(about, well, 128)
        seen[box.slices] = True
        tile = pixels[box.slices]
        assert (tile > 0).sum() == 40 * 30
        assert (tile[44:84, 49:79] > 0).all()
        means[well] = tile.max()
    assert not pixels[~seen].any(), "wells without an image stay 0"
    assert means["A/01"] < means["C/24"] < means["P/02"]
    assert ome_zarr_models.open_ome_zarr(tmp_path / "p", version="0.5").ome_zarr_version == "0.5"
    assert ome_zarr_models.open_ome_zarr(tmp_path / "p/preview", version="0.5").ome_zarr_version == "0.5"
    preview.write_preview(tmp_path / "p")
    assert (omezarr.read_image(tmp_path / "p/preview").read()[0] == pixels).all()


def test_large_fields_are_averaged_and_all_stand_side_by_side(tmp_path: Path) -> None:
    plate(tmp_path / "p", {"A/01": ["0", "1", "2"]}, (2, 600, 500))
    preview.write_preview(tmp_path / "p", tile=64, fields="all")
    tile = omezarr.read_image(tmp_path / "p/preview").read()[0, :64, :64]
    assert [bool(tile[y : y + 32, x : x + 32].any()) for y in (0, 32) for x in (0, 32)] == [True, True, True, False]
    assert (tile[:32, :32] > 0).sum() == 32 * 27


def test_a_field_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    plate(tmp_path / "p", {"A/01": ["0"], "A/02": ["0"]})
    (tmp_path / "p/A/02/0/0/c/0/0/0").write_bytes(b"torn")
    (failed,) = preview.write_preview(tmp_path / "p", tile=32)
    assert failed.startswith("A/02/0: its bytes cannot be read back")
    assert omezarr.read_image(tmp_path / "p/preview").read()[:, :32, :32].any()


def test_stacks_show_their_middle_and_empty_plates_nothing(tmp_path: Path) -> None:
    pixels = np.zeros((2, 5, 20, 20), "u2")
    pixels[0, 2, :10] = 7
    omezarr.write(Image(pixels, Space("tzyx")), tmp_path / "p/A/1/0")
    write_plate(tmp_path / "p", {"A/1": ["0"]})
    preview.write_preview(tmp_path / "p", tile=20)
    tile = omezarr.read_image(tmp_path / "p/preview").read()[0]
    assert (tile[:10] == 255).all()
    assert (tile[10:] == 1).all()
    write_plate(tmp_path / "q", {}, rows="AB", columns=["1"])
    preview.write_preview(tmp_path / "q", tile=8)
    assert not omezarr.read_image(tmp_path / "q/preview").read().any()


@contextmanager
def served(root: Path) -> Iterator[tuple[str, list[str]]]:
    """A file server on this machine that knows byte ranges and writes down what it is asked for."""
    asked: list[str] = []

    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Range', '')}")
            file = root / self.path.lstrip("/")
            if not file.is_file():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data, status, told = file.read_bytes(), 200, ""
            if wanted := self.headers.get("Range"):
                first, last = wanted.removeprefix("bytes=").split("-")
                start = int(first) if first else max(0, len(data) - int(last))
                stop = min(int(last) + 1, len(data)) if first and last else len(data)
                data, status, told = data[start:stop], 206, f"bytes {start}-{stop - 1}/{len(data)}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if told:
                self.send_header("Content-Range", told)
            self.end_headers()
            self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_384_well_plate_shows_in_ten_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    wells = {f"{r}/{c}": ["0"] for r in ROWS for c in COLUMNS}
    some = Image(rng.integers(1, 4000, (1, 64, 64)).astype("u2"), Space("cyx"), (Channel("d0"),))
    for well in wells:
        (tmp_path / "p" / well / "0").mkdir(parents=True)
        (tmp_path / "p" / well / "0/zarr.json").touch()
    monkeypatch.setattr(preview, "read_image", lambda folder: some)
    write_plate(tmp_path / "p", wells)
    preview.write_preview(tmp_path / "p", tile=128)
    with served(tmp_path / "p") as (url, asked):
        store = ts.KvStore.open({"driver": "http", "base_url": url}).result()
        plate = json.loads(store.read("zarr.json").result().value)["attributes"]["corpuscle"]["preview"]
        store.read(f"{plate['path']}/zarr.json").result()
        spec = {"driver": "zarr3", "kvstore": {"driver": "http", "base_url": url, "path": "preview/0/"}}
        pixels = ts.open(spec, open=True).result()[0].read().result()
    assert pixels.shape == (2048, 3072)
    assert all(tile.any() for row in np.split(pixels, 16) for tile in np.split(row, 24, axis=1))
    assert len(asked) <= 11, asked
