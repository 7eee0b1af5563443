"""The storage library in this process: its cache of decoded chunks, what it holds open, how long a server may take."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from corpuscle.errors import CorpuscleError, FormatError, SettingsError, StoreError
from corpuscle.formats.place import Url, driver

CACHE_BYTES = 16 << 20
PATIENCE = 60.0
SLOWEST = 50_000
FRESH = 300
WINDOW = 32
_CODE = re.compile(r"(?:HTTP code |http_response_code=')(\d{3})")
_RETRIES = {"max_retries": 3, "initial_delay": "0.2s", "max_delay": "2s"}
# Read by the library when it first speaks to a server: without them one that accepts and says nothing holds a
# connection for half an hour (https://github.com/google/tensorstore/issues/291).
_STALLED = {
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": "10",
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "15",
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}


class _Pool:
    """How many bytes of decoded chunks this process keeps, and the context that keeps them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.total = CACHE_BYTES
        self.held: Any = None

    def context(self) -> Any:
        with self.lock:
            if self.held is None:
                import tensorstore as ts

                limits = {"cache_pool": {"total_bytes_limit": self.total}}
                self.held = ts.Context(limits | {"http_request_retries": _RETRIES, "s3_request_retries": _RETRIES})
            return self.held

    def resize(self, total: int) -> int:
        with self.lock:
            old, self.total, self.held = self.total, total, None
        _opened.cache_clear()
        _store.cache_clear()
        return old


_POOL = _Pool()  # of the process, as its memory is


def keep(total_bytes: int) -> int:
    """Let this process keep so many bytes of decoded chunks from now on; answers how many it was. 0 keeps none.

    All its threads share them. What was kept so far is let go: see `kept`.
    """
    if total_bytes < 0:
        raise SettingsError(f"a cache of {total_bytes} bytes", fix="give 0 or more", rule="cache-bytes")
    return _POOL.resize(int(total_bytes))


def kept() -> int:
    """How many bytes of decoded chunks this process keeps by now."""
    return _POOL.total


@contextlib.contextmanager
def cache(total_bytes: int) -> Iterator[None]:
    """Within this, the process keeps so many bytes of decoded chunks; after it, as many as before.

    Blocks that are read with a halo share chunks with their neighbours. In C order every chunk is decoded once while
    a slab of blocks with its halo fits, 1.4 times while a row of them does, and 2 times while one block does
    (cubes of 256 with a halo of 8 on chunks of 64; 2.6 times without a cache).
    """
    old = keep(total_bytes)
    try:
        yield
    finally:
        keep(old)


def opened(path: str) -> Any:
    """The array at a path or URL, open for reading; opened once, and again when what is on disk is another.

    A StoreError where it is gone or cannot be reached, or this process was forked from one that has read; a
    FormatError where no engine has its codec.
    """
    at_home(path)
    if isinstance(path, Url):
        return _opened(path, "", age(), 0)
    for name in ("zarr.json", ".zarray"):
        try:
            stat = os.stat(f"{path}/{name}")
        except OSError:
            continue
        return _opened(path, name, stat.st_mtime_ns, stat.st_ino)
    raise StoreError("the array is gone", where=path, fix="copy the folder again", rule="zarr-missing")


def age() -> int:
    """A number that changes every five minutes: for so long what was found behind a URL is held to be so."""
    return int(time.monotonic() // FRESH)


@lru_cache(maxsize=64)
def _opened(path: str, name: str, _changed: int, _inode: int) -> Any:
    import tensorstore as ts  # here, so that to ask what a file is costs no engine

    if isinstance(path, Url):
        return _far(path)
    kind = "zarr3" if name == "zarr.json" else "zarr"
    spec = {"driver": kind, "kvstore": {"driver": "file", "path": path}, "recheck_cached_metadata": "open"}
    try:
        return ts.open(spec, open=True, context=_POOL.context()).result()
    except (ValueError, NotImplementedError, OSError) as first:
        import zarr  # only for the rare codec that tensorstore lacks: it takes half a second to import

        try:
            return zarr.open_array(path, mode="r")
        except (ValueError, TypeError, KeyError, NotImplementedError, OSError, RuntimeError):
            raise _no_engine(path, first) from first


def _far(url: Url) -> Any:
    """An array behind a URL. What was read of it is held to be so until it is opened again."""
    import tensorstore as ts

    _be_bounded()
    failed: Exception | None = None
    for kind in ("zarr3", "zarr"):
        when = {"recheck_cached_metadata": "open", "recheck_cached_data": "open"}
        spec = {"driver": kind, "kvstore": driver(url), **when}
        try:
            return wait(ts.open(spec, open=True, context=_POOL.context()), url)
        except StoreError:
            raise
        except (ValueError, NotImplementedError, OSError) as e:
            if not _absent(e):
                failed = e
                if not _denied(e):
                    break
    if failed is None:
        raise StoreError("the array is gone", where=url, fix="check the address", rule="zarr-missing")
    if (known := unreachable(failed, url)) is not None:
        raise known from failed
    raise _no_engine(url, failed) from failed


def fetch(url: Url, *, limit: int | None = None) -> bytes | None:
    """The bytes of one file behind a URL; None where there is none.

    A StoreError where the server does not answer in time, refuses, or fails three times more; a FormatError for a file
    of more than `limit` bytes.
    """
    (data,) = fetch_all([url])
    if data is not None and limit is not None and len(data) > limit:
        raise FormatError(f"more than {limit >> 20} MB", where=url, fix="check the address", rule="url-large")
    return data


def fetch_all(urls: Sequence[Url]) -> Iterator[bytes | None]:
    """The bytes of each of these files in turn, some of them asked for at a time; None for those not there."""
    if not urls:
        return
    at_home(urls[0])
    _be_bounded()
    asked: list[Any] = []
    try:
        for i, url in enumerate(urls):
            for other in urls[i + len(asked) : i + WINDOW]:
                root, key = _parted(other)
                asked.append(_store(root).read(key))
            try:
                got = wait(asked.pop(0), url)
            except (ValueError, NotImplementedError) as e:
                raise unreachable(e, url) or _failed(e, url) from e
            yield None if got.state == "missing" else got.value
    finally:
        for future in asked:
            future.cancel()


def wait(future: Any, where: str, *, nbytes: int = 0) -> Any:
    """The result of a request, in a minute and however long its bytes take at 50 kB/s; else a StoreError."""
    if not isinstance(where, Url):
        return future.result()
    patience = PATIENCE + nbytes / SLOWEST
    try:
        return future.result(timeout=patience)
    except TimeoutError as e:
        future.cancel()
        fix = "try again, or download it first"
        raise StoreError(f"no answer within {patience:.0f} s", where=where, fix=fix, rule="url-slow") from e


def unreachable(e: Exception, url: Url) -> StoreError | None:
    """The error for what a server would not give; None where it is the bytes that are at fault."""
    text = str(e)
    told = _CODE.search(text)
    code = int(told[1]) if told else 0
    if "ignored by server" in text:
        said = "the server does not give parts of files", "use one that answers ranges, or download it", "url-range"
    elif _denied(e):
        said = "the server refuses", "check the address and your rights", "url-denied"
    elif 300 <= code < 400:
        said = "the server says that it lies elsewhere", "name the address that this leads to", "url-moved"
    elif "Invalid S3" in text:
        said = "is no bucket", "check the address", "url-scheme"
    elif code or any(sign in text for sign in ("CURL error", "retry attempts", "etag not found")):
        said = "the server does not give it", "check the address, see whether it is up, and try again", "url-down"
    else:
        return None
    return StoreError(f"{said[0]}: {short(e)}", where=url, fix=said[1], rule=said[2])


def short(e: Exception) -> str:
    """What the library says, without the settings that it ends with."""
    return str(e).split(" [tensorstore_spec", 1)[0].split(" [source", 1)[0][:300]


def at_home(where: str) -> None:
    """A StoreError in a process forked from one that has read: there the library would abort."""
    if _home() != os.getpid():
        raise StoreError(
            "tensorstore was at work in a process before it was forked into this one, where it would abort",
            where=where,
            fix="start workers by spawn or forkserver",
            rule="zarr-forked",
        )


@lru_cache(maxsize=1)
def _home() -> int:
    """The process that first read an array; a forked child inherits the answer."""
    return os.getpid()


@lru_cache(maxsize=1)
def _be_bounded() -> None:
    for name, value in _STALLED.items():
        os.environ.setdefault(name, value)


@lru_cache(maxsize=256)
def _store(root: Url) -> Any:
    import tensorstore as ts

    try:
        return wait(ts.KvStore.open(driver(root), context=_POOL.context()), root)
    except (ValueError, NotImplementedError) as e:
        raise unreachable(e, root) or _failed(e, root) from e


def _parted(url: Url) -> tuple[Url, str]:
    """The server or bucket, and the whole path of a file there."""
    parts = urlsplit(url)
    return Url(urlunsplit(parts._replace(path=""))), unquote(parts.path).lstrip("/")


def _denied(e: Exception) -> bool:
    """Whether a server refuses, which is also how a bucket that may not be listed says that there is no such file."""
    return (told := _CODE.search(str(e))) is not None and int(told[1]) in (401, 403)


def _absent(e: Exception) -> bool:
    return "NOT_FOUND" in str(e) and "etag not found" not in str(e)


def _failed(e: Exception, where: str | Path) -> CorpuscleError:
    return StoreError(f"cannot be read: {short(e)}", where=where, fix="check the address", rule="url-down")


def _no_engine(where: str, e: Exception) -> FormatError:
    return FormatError(
        f"no engine opens it: {short(e)}", where=where, fix="see the codecs in its metadata", rule="zarr-codec"
    )
