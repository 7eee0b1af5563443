"""A small server of files on loopback, as the web or as S3 would have it, that can fail in every way asked of it."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

Fault = Literal["403", "404", "500", "once", "cut", "stall", "moved", "whole", "longer", "torn"]


@dataclass
class Server:
    """Files beneath `root`; `faults` says how those fail whose path holds a text, `log` what was asked for."""

    root: Path
    faults: dict[str, Fault] = field(default_factory=dict)
    log: list[tuple[str, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    absent: int = 404

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def s3(self, key: str) -> str:
        """The address of a key whose bucket is the first folder of `root`."""
        return f"s3://{key}?endpoint={self.url}"

    def asked(self, text: str) -> list[str | None]:
        """The ranges asked of files whose path holds this."""
        return [told for path, told in self.log if text in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: two would wait for one another

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(200, b"", {})

    def do_GET(self) -> None:
        server: Server = self.server.told  # type: ignore[attr-defined]
        path = unquote(urlsplit(self.path).path)
        span = self.headers.get("Range")
        server.log.append((path, span))
        server.headers.append({k.lower(): v for k, v in self.headers.items()})
        server.seen[path] += 1
        fault = next((f for text, f in server.faults.items() if text in path), None)
        file = server.root / path.lstrip("/")
        if fault in ("403", "404", "500") or (fault == "once" and server.seen[path] == 1):
            return self._answer(500 if fault == "once" else int(str(fault)), b"", {})
        if fault == "moved":
            return self._answer(302, b"", {"Location": "/elsewhere"})
        if not file.is_file():
            return self._answer(server.absent, b"", {})
        data = file.read_bytes()
        if fault == "torn":
            data = data[:100] + bytes([data[100] ^ 255]) + data[101:]
        if fault == "longer":
            data += b"x" * 100
        tag = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'}
        if span is None or fault == "whole":
            return self._answer(200, data, tag, fault)
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", span).groups()  # type: ignore[union-attr]
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(len(data), int(last) + 1 if first and last else len(data))
        if start >= len(data):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        tag["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return self._answer(206, data[start:stop], tag, fault)

    def _answer(self, code: int, data: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        server: Server = self.server.told  # type: ignore[attr-defined]
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault in ("cut", "stall"):
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)
        self.wfile.flush()
        if fault == "stall":
            server.released.wait(20)


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """A server of the files beneath a folder, gone when this ends."""
    told = Server(root)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is no news
    http.told = told  # type: ignore[attr-defined]
    told.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        http.shutdown()
        http.server_close()
        thread.join()


@contextmanager
def deaf() -> Iterator[str]:
    """The address of somebody who takes a call and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def closed() -> str:
    """An address where nobody is."""
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{once.getsockname()[1]}"
