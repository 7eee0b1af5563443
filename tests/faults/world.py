"""What the fault tests run: small volumes through every merge, in a process of their own that may be ended at will.

The ops are slowed, and write down each block that they are given, so that a test can count what was done twice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy import ndimage

from corpuscle.blocks.conditions import Conditions
from corpuscle.blocks.engines.local import Local
from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.merge import Claim, Collect, Merge, Paste, Stitch
from corpuscle.blocks.progress import Receipt
from corpuscle.blocks.run import run
from corpuscle.blocks.scratch import Scratch
from corpuscle.blocks.step import Blockwise
from corpuscle.cli.stop import stoppable
from corpuscle.core import Cut, Image, Record, Space, px
from corpuscle.errors import CorpuscleError
from corpuscle.store.digest import of_bytes
from corpuscle.store.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
LOG, SLOW = "FAULTS_LOG", "FAULTS_SLOW"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
PATIENCE = 60
"""Seconds after which a run counts as hanging."""


@dataclass(frozen=True, slots=True)
class Case:
    """A volume and what is done to it; `halo` in voxels."""

    axes: str
    shape: tuple[int, ...]
    block: tuple[int, ...]
    merge: Merge
    halo: int
    labels: bool = False

    @property
    def blocks(self) -> int:
        """How many there are."""
        sizes = dict(zip([a for a in self.axes if a in "zyx"], self.block, strict=True))
        return len(Cut(self.shape, tuple(sizes.get(a, 1) for a in self.axes)))


CASES: Mapping[str, Case] = {
    # Every block is a shard, and leaves its share of a second level.
    "paste": Case("tyx", (60, 270, 264), (270, 264), Paste(), 1),
    # All blocks together are one shard.
    "parts": Case("zyx", (30, 48, 48), (6, 16, 12), Paste(), 2),
    "stitch": Case("zyx", (30, 48, 48), (6, 16, 12), Stitch(), 1, labels=True),
    # Every block is a shard, and voxels of the second level span two.
    "planes": Case("tzyx", (6, 12, 20, 264), (1, 20, 264), Stitch(), 1, labels=True),
    "claim": Case("zyx", (30, 48, 48), (10, 16, 12), Claim(), 9, labels=True),
    # Small ones, for what is done hundreds of times.
    "few": Case("tyx", (8, 264, 40), (264, 40), Paste(), 1),
    "few parts": Case("zyx", (24, 24, 12), (6, 12, 12), Paste(), 2),
    "few labels": Case("tzyx", (2, 4, 12, 264), (1, 12, 264), Stitch(), 1, labels=True),
    "few objects": Case("zyx", (20, 32, 12), (10, 16, 12), Claim(), 9, labels=True),
    "points": Case("zyx", (30, 48, 48), (6, 16, 12), Collect(), 1),
}


def volume(case: str) -> NDArray[np.uint8]:
    shape = CASES[case].shape
    if isinstance(CASES[case].merge, Claim):
        return balls(shape)
    pixels = np.random.default_rng(5).integers(1, 250, shape).astype(np.uint8)
    return pixels * (np.random.default_rng(6).random(shape) < 0.3) if CASES[case].labels else pixels


def balls(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    out = np.zeros(shape, np.uint8)
    place = np.indices(shape)
    for n, centre in enumerate(np.ndindex(*(s // 7 for s in shape)), 1):
        far = sum((p - 4 - 7 * c) ** 2 for p, c in zip(place, centre, strict=True))
        out[far <= 12] = 1 + n % 250
    return out


@dataclass(frozen=True, slots=True)
class Source:
    """Pixels in a file, some of which cannot be read while a note beside it says so."""

    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        return self._pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        bad = self.path.with_suffix(".bad")
        if bad.exists():
            code, *at = json.loads(bad.read_text())
            if all(s.start <= a < s.stop for s, a in zip(key, at, strict=True)):
                raise OSError(code, os.strerror(code), str(self.path))
        return np.array(self._pixels[key])

    @property
    def _pixels(self) -> NDArray[Any]:
        pixels: NDArray[Any] = np.load(self.path, mmap_mode="r")
        return pixels


def noted(corner: tuple[int, ...]) -> None:
    """Write a block down, and take a while, or as long as there is a note beside that says hold."""
    log = os.open(os.environ.get(LOG, os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{corner}\n".encode())
    os.close(log)
    while os.path.exists(f"{os.environ.get(LOG)}.hold"):
        time.sleep(0.01)
    time.sleep(float(os.environ.get(SLOW, "0")) / 1000)


def filtered(pixels: NDArray[Any], *, corner: tuple[int, ...], by: int = 0) -> NDArray[Any]:
    noted(corner)
    smooth: NDArray[Any] = ndimage.uniform_filter(pixels, 3)
    return smooth + np.uint8(by)


def components(pixels: NDArray[Any], *, corner: tuple[int, ...]) -> NDArray[np.int32]:
    noted(corner)
    labels, _ = ndimage.label(pixels, np.ones((3, 3, 3)))
    return np.asarray(labels, np.int32)


def objects(pixels: NDArray[Any], *, corner: tuple[int, ...]) -> NDArray[np.int32]:
    noted(corner)
    labels = np.zeros(pixels.shape, np.int32)
    for value in np.unique(pixels[pixels > 0]):
        parts, _ = ndimage.label(pixels == value)
        labels[parts > 0] = parts[parts > 0] + labels.max()
    return labels


def peaks(pixels: NDArray[Any], *, corner: tuple[int, ...]) -> NDArray[np.int64]:
    noted(corner)
    return np.argwhere((pixels == ndimage.maximum_filter(pixels, 3)) & (pixels > 200))


def step_of(case: str, **bound: Any) -> Blockwise:
    of = CASES[case]
    op: Any = {Paste: filtered, Stitch: components, Claim: objects, Collect: peaks}[type(of.merge)]
    return Blockwise(
        partial(op, **bound), "raw", "out", halo=px(of.halo), merge=of.merge, labels_of="raw" if of.labels else None
    )


def shelf_of(case: str, folder: Path) -> Scratch:
    """A shelf over the volume of a case, which is written where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.parent / f"{case}.npy"
    if not source.exists():
        np.save(source, volume(case))
    digest = of_bytes(source.read_bytes())
    image = Image(Source(source), Space(CASES[case].axes))
    return Scratch.of(folder, Record("r", {}, {"raw": image}), digests={"r/raw": digest})


def main() -> None:
    """Run one case in a folder: CASE FOLDER WORKERS [SETTINGS]; what came of it as JSON, exit code 1 for failures."""
    case, folder, workers, *bound = sys.argv[1:]
    try:
        with stoppable(), Local(int(workers)) as engine, Ledger(Path(f"{folder}.ledger")) as ledger:
            shelf = shelf_of(case, Path(folder))
            step = step_of(case, **json.loads(bound[0] if bound else "{}"))
            receipt = run([step], shelf, Conditions(engine, ledger, block=CASES[case].block))
    except CorpuscleError as e:
        print(json.dumps({"failures": [json.loads(e.as_json())], "digest": None}))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    failures = [json.loads(e.as_json()) for e in receipt.failures]
    made = shelf.made("r")
    digest = made["out"].digest if "out" in made else None
    print(json.dumps({"done": receipt.done, "skipped": receipt.skipped, "failures": failures, "digest": digest}))
    sys.exit(0 if receipt.ok else 1)


@dataclass
class Run:
    """A case in a process of its own."""

    case: str
    folder: Path
    workers: int = 2
    slow: float = 4.0
    bound: str = "{}"
    limit: int = 0
    """Bytes that a file may grow to; 0 for any."""
    notes: Path | None = None
    """Where its blocks are written down, if not beside the folder."""

    @property
    def log(self) -> Path:
        return self.notes or Path(f"{self.folder}.log")

    def start(self, program: str = "from tests.faults.world import main; main()") -> subprocess.Popen[str]:
        """The case begun, by a program that calls `main`."""
        if self.limit:
            program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({self.limit},) * 2); {program}"
        return subprocess.Popen(
            [sys.executable, "-c", program, self.case, str(self.folder), str(self.workers), self.bound],
            env=ENVIRONMENT | {LOG: str(self.log), SLOW: str(self.slow)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> dict[str, Any]:
        """Run it to its end, undisturbed."""
        return told(self.start())

    @property
    def calls(self) -> int:
        """How often the op was called so far."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def torn(self) -> dict[str, int]:
        """How many units of each pass were begun and not finished."""
        with Ledger(Path(f"{self.folder}.ledger")) as ledger:
            torn = {k.partition("/")[2]: len(ledger.torn(k)) for k in list(ledger.keys())}
        return torn


def failing(folder: Path, case: str, at: tuple[int, ...] | None, code: int = errno.EIO) -> None:
    """From now on a voxel of the source of a case cannot be read; none, where none is named."""
    bad = folder.parent / f"{case}.bad"
    if at is None:
        bad.unlink(missing_ok=True)
    else:
        bad.write_text(json.dumps([code, *at]))


def here(case: str, folder: Path, engine: Engine | None = None, **bound: Any) -> Receipt:
    """Run a case in this very process."""
    with Ledger(Path(f"{folder}.ledger")) as ledger:
        conditions = Conditions(engine or Local(1), ledger, block=CASES[case].block)
        return run([step_of(case, **bound)], shelf_of(case, folder), conditions)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a run says at its end; it must come to one."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in err, err
    found: dict[str, Any] = json.loads(out) if out.strip() else {}
    return {"code": process.returncode, "stderr": err, **found}


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that carry units out: those that the server, a child, has forked."""
    try:
        return [g for c in psutil.Process(process.pid).children() for g in c.children()]
    except psutil.NoSuchProcess:
        return []


def tree(folder: Path) -> dict[str, str]:
    """The bytes of every file beneath a folder, and of its ledger but for the lock."""
    out = {}
    for top in (folder, Path(f"{folder}.ledger")):
        for p in sorted(top.rglob("*")):
            if p.is_file() and p.name != "lock" and p.name != "source.pickle":
                out[f"{p.relative_to(folder.parent)}".replace(folder.name, "", 1)] = hashlib.sha256(
                    p.read_bytes()
                ).hexdigest()
    return out


IO_ERRORS = (errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOENT)
