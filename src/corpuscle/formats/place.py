"""Where data lies: a path on this machine, or a URL from which it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from corpuscle.errors import FormatUnknown, SettingsError

SCHEMES = ("http", "https", "s3")


class Url(str):
    """A folder or file behind http, https or s3, joined like a path; see `place` for how one is made.

    It is a text, so it travels to any worker and into any message, and nothing can be written there.

    >>> folder = Url("s3://atlas/v1?region=eu-west-1")
    >>> folder / "a.zarr" / "0", (folder / "a.zarr").stem
    ('s3://atlas/v1/a.zarr/0?region=eu-west-1', 'a')
    """

    __slots__ = ()

    def __truediv__(self, key: str) -> Url:
        parts = urlsplit(self)
        below = quote(key, errors="replace")
        return Url(urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{below}")))

    @property
    def name(self) -> str:
        """The last part of its path, or the host or bucket where it has none."""
        parts = urlsplit(self)
        return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc

    @property
    def stem(self) -> str:
        """Its name without the last suffix."""
        return Path(self.name).stem


Place: TypeAlias = Path | Url


def place(told: Place | str) -> Place:
    """A path, or the URL that a text spells.

    ``s3://bucket/key`` takes ``?endpoint=http://host:port`` for a server other than Amazon's, else that of the
    environment (AWS_ENDPOINT_URL), and ``&region=``.

    Raises a SettingsError for a URL of another kind, or one that holds a user and a password.

    >>> place("plates/p1.zarr"), place("https://host/corpus/")
    (PosixPath('plates/p1.zarr'), 'https://host/corpus')
    """
    if isinstance(told, Path | Url) or "://" not in told:
        return told if isinstance(told, Path | Url) else Path(told)
    parts = urlsplit(told)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in SCHEMES or not parts.hostname:
        known = ", ".join(f"{s}://" for s in SCHEMES)
        raise SettingsError("is no address that can be read", where=told, fix=f"use {known}", rule="url-scheme")
    if "@" in parts.netloc:
        shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        fix = "leave it out; keys for s3 belong in the environment"
        raise SettingsError("a password does not belong in an address", where=shown, fix=fix, rule="url-password")
    return Url(urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment="")))


def local(told: Place, what: str) -> Path:
    """The path of what is on this machine; a FormatUnknown for a URL, since `what` reads files here alone."""
    if isinstance(told, Path):
        return told
    fix = "download it first; OME-Zarr and corpora are read from where they are"
    raise FormatUnknown(f"{what} reads files on this machine only", where=told, fix=fix, asked=True, rule="url-local")


def driver(url: Url) -> dict[str, Any]:
    """What the storage library wants to know to read beneath a URL.

    Keys for s3 are taken from the environment (AWS_ACCESS_KEY_ID, or AWS_PROFILE) and else from nowhere: the bucket is
    then read as the public would.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "s3":
        base = urlunsplit((parts.scheme, parts.netloc, "", parts.query, ""))
        return {"driver": "http", "base_url": base, "path": f"{path}/"}
    told = {k: v[0] for k, v in parse_qs(parts.query).items()}
    env = os.environ
    endpoint = told.get("endpoint") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    region = told.get("region") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    keys = "environment" if "AWS_ACCESS_KEY_ID" in env else "profile" if "AWS_PROFILE" in env else "anonymous"
    spec = {"driver": "s3", "bucket": parts.netloc, "path": f"{path.lstrip('/')}/".lstrip("/")}
    more = {"endpoint": endpoint and endpoint.rstrip("/"), "aws_region": region}
    return spec | {k: v for k, v in more.items() if v} | {"aws_credentials": {"type": keys}}
