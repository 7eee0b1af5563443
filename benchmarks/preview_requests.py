"""What a viewer has to ask for to show a plate of 384 wells: its preview, or the coarsest level of every well.

python -m benchmarks.preview_requests
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from benchmarks.finding import Finding, full, show
from corpuscle.core import Channel, Image, Space
from corpuscle.formats import omezarr
from corpuscle.formats.plates import write_plate
from corpuscle.formats.preview import write_preview

ROWS, COLUMNS = "ABCDEFGHIJKLMNOP", [f"{i:02d}" for i in range(1, 25)]
DELAY = 0.02
"""Seconds before each answer: the distance to a store on another continent is more, to one in the house less."""


def measure() -> list[Finding]:
    """Requests, bytes and time of both ways."""
    side = 1104 if full() else 300
    rng = np.random.default_rng(0)
    wells = {f"{row}/{column}": ["0"] for row in ROWS for column in COLUMNS}
    with tempfile.TemporaryDirectory() as held:
        plate = Path(held) / "plate"
        for k, well in enumerate(wells):
            pixels = rng.normal(200 + k, 9, (1, side, side)).astype(np.uint16)
            omezarr.write(Image(pixels, Space("cyx"), (Channel("d0"),)), plate / well / "0")
        write_plate(plate, wells, rows=ROWS, columns=COLUMNS)
        start = time.perf_counter()
        write_preview(plate)
        drawn = time.perf_counter() - start
        with _served(plate) as (url, asked):
            start = time.perf_counter()
            shown = _preview(url)
            ours, took, size = len(asked), time.perf_counter() - start, sum(n for _, n in asked)
            asked.clear()
            start = time.perf_counter()
            _wells(url, list(wells))
            theirs, longer, more = len(asked), time.perf_counter() - start, sum(n for _, n in asked)
    if not all(tile.any() for row in np.split(shown, 16) for tile in np.split(row, 24, axis=1)):
        raise RuntimeError("a well of the preview is empty")
    return [
        Finding(
            "Showing a plate of 384 wells",
            ("how", "requests", "MB", "s"),
            (
                ("its preview", ours, size / 1e6, took),
                ("the coarsest level of every well", theirs, more / 1e6, longer),
            ),
            f"Over HTTP, {1e3 * DELAY:.0f} ms before each answer, as many at once as the client (tensorstore) likes; "
            f"one field of {side} x {side} px a well.",
            (f"To draw the preview once took {drawn:.1f} s.",),
        )
    ]


def _preview(url: str) -> np.ndarray[Any, Any]:
    store = ts.KvStore.open({"driver": "http", "base_url": url}).result()
    about = json.loads(store.read("zarr.json").result().value)["attributes"]["corpuscle"]["preview"]
    store.read(f"{about['path']}/zarr.json").result()
    pixels: np.ndarray[Any, Any] = _array(url, f"{about['path']}/0/")[0].read().result()
    return pixels


def _wells(url: str, wells: list[str]) -> None:
    """What a viewer does without a preview: plate, wells, images, and of each image the coarsest level."""
    store = ts.KvStore.open({"driver": "http", "base_url": url}).result()
    store.read("zarr.json").result()
    for group in [store.read(f"{w}/zarr.json") for w in wells]:
        group.result()
    pending = []
    for well, document in [(w, store.read(f"{w}/0/zarr.json")) for w in wells]:
        scales = json.loads(document.result().value)["attributes"]["ome"]["multiscales"][0]["datasets"]
        pending.append(ts.open(_spec(url, f"{well}/0/{scales[-1]['path']}/"), open=True))
    for read in [array.result().read() for array in pending]:
        read.result()


def _array(url: str, path: str) -> Any:
    return ts.open(_spec(url, path), open=True).result()


def _spec(url: str, path: str) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "http", "base_url": url, "path": path}}


@contextmanager
def _served(root: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """A file server on this machine that knows byte ranges; it notes each request and the bytes of its answer."""
    asked: list[tuple[str, int]] = []

    class Files(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(DELAY)
            file = root / self.path.lstrip("/")
            data, status = (file.read_bytes(), 200) if file.is_file() else (b"", 404)
            told = {}
            if status == 200 and (wanted := self.headers.get("Range")):
                first, last = wanted.removeprefix("bytes=").split("-")
                begin = int(first) if first else max(0, len(data) - int(last))
                end = min(int(last) + 1, len(data)) if first and last else len(data)
                told["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
                data, status = data[begin:end], 206
            asked.append((self.path, len(data)))
            self.send_response(status)
            for name, value in {**told, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

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


if __name__ == "__main__":
    show(measure())
