"""Reading Cellomics files: ours beside Bio-Formats; and what it costs to turn away files that lie.

python -m benchmarks.c01
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import tifffile

from benchmarks.data import real
from benchmarks.finding import Cell, Finding, full, ratio, show
from benchmarks.installed import Absent, bioformats
from benchmarks.process import Ran, run
from corpuscle import formats
from corpuscle.formats import c01
from corpuscle.worlds import nuclei as world

CLI = Path(sys.executable).with_name("corpuscle")
CONVERTER = "loci.formats.tools.ImageConverter"


def measure() -> list[Finding]:
    """Time to read and to convert, and time and memory to refuse."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        return [_speed(folder), _hostile(folder / "hostile")]


def _speed(folder: Path) -> Finding:
    many = 384 if full() else 96
    world.write_scale(folder / "plate", many)
    plate = sorted(folder.glob("plate/*/*.C01"))
    sets = {f"{many} simulated, 512 x 512": plate}
    genuine = real("nuclei/cellomics")
    if genuine:
        sets[f"{len(list(genuine.glob('*.C01')))} real .C01, 512 x 512"] = sorted(genuine.glob("*.C01"))
        sets[f"{len(list(genuine.glob('*.DIB')))} real .DIB, 512 x 512"] = sorted(genuine.glob("*.DIB"))
    rows: list[tuple[Cell, ...]] = []
    for name, paths in sets.items():
        read = _per_file(paths, lambda p: next(iter(formats.read(p).layers.values())).read())  # type: ignore[union-attr]
        rows.append((f"read to pixels, in one process ({name})", "corpuscle", 1e3 * read, None))
    written = _per_file(plate, lambda p: tifffile.imwrite(folder / "x.tif", c01.decode(p.read_bytes(), where=p)))
    rows.append(("read and written as TIFF, in one process", "corpuscle", 1e3 * written, None))
    one = _median_of(lambda: run([CLI, "convert", plate[0], _fresh(folder / "one.ome.tiff")]))
    rows.append(("one file to OME-TIFF, from the start of the program", "corpuscle", 1e3 * one, None))
    notes = []
    try:
        alone, each = _bioformats(folder, plate)
    except (Absent, TimeoutError) as e:
        notes.append(f"Bio-Formats was not measured: {e}.")
    else:
        rows.append(("read and written as TIFF, in one process", "Bio-Formats 7.3.1", 1e3 * each, ratio(written, each)))
        label = "one file to OME-TIFF, from the start of the program"
        rows.append((label, "Bio-Formats 7.3.1", 1e3 * alone, ratio(one, alone)))
        notes.append(
            f"Bio-Formats converts the {many} files of the plate in one process, and one of them alone in another; the "
            "difference of the two, by file, is its time in one process. It packs no TIFF here, and neither do we."
        )
    return Finding(
        "Reading Cellomics C01",
        ("what", "program", "ms a file", "times ours"),
        tuple(rows),
        "Median over the files, the best of three readings of each, from a warm cache; of whole programs the median "
        "of three.",
        tuple(notes),
    )


def _per_file(paths: list[Path], work: Callable[[Path], object]) -> float:
    times = []
    for path in paths:
        some = []
        for _ in range(3):
            start = time.perf_counter()
            work(path)
            some.append(time.perf_counter() - start)
        times.append(min(some))
    return median(times)


def _median_of(work: Callable[[], Ran], *, times: int = 3) -> float:
    ran = [work() for _ in range(times)]
    if bad := [r for r in ran if r.code]:
        raise Absent((bad[0].err.strip() or bad[0].out.strip() or "it said nothing").splitlines()[-1][:300])
    return median(r.seconds for r in ran)


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def _bioformats(folder: Path, plate: list[Path]) -> tuple[float, float]:
    """Seconds for one file by itself, and for each of a plate beyond the first."""
    java, jar = bioformats()
    lone = folder / "lone" / plate[0].name
    lone.parent.mkdir()
    lone.write_bytes(plate[0].read_bytes())

    def convert(path: Path, out: Path) -> Ran:
        for old in out.parent.glob(f"{out.name.split('%')[0]}*"):
            old.unlink()
        quiet: list[str | Path] = ["-Xshare:auto", "-cp", jar, CONVERTER, "-no-upgrade", "-overwrite"]
        return run([java, *quiet, path, out], timeout=300)

    (folder / "bf").mkdir()
    alone = _median_of(lambda: convert(lone, folder / "bf" / "lone.tiff"))
    whole = _median_of(lambda: convert(plate[0], folder / "bf" / "plate_%s_%c.tiff"))
    written = len(list((folder / "bf").glob("plate_*.tiff")))
    if written != len(plate):
        raise Absent(f"it wrote {written} files for the {len(plate)} of the plate")
    return alone, (whole - alone) / (len(plate) - 1)


def _hostile(folder: Path) -> Finding:
    folder.mkdir()
    rows: list[tuple[Cell, ...]] = []
    plain = run([CLI, "--help"])
    rows.append(("nothing: --help", plain.code, 1e3 * plain.seconds, plain.peak_mb, ""))
    for what, data in _liars().items():
        path = folder / "x_A01f00d0.C01"
        path.write_bytes(data)
        ran = [run([CLI, "info", path, "--json"]) for _ in range(3)]
        rule = next((line["rule"] for line in ran[0].lines() if "rule" in line), "")
        seconds, peak = median(r.seconds for r in ran), max(r.peak_mb for r in ran)
        rows.append((what, ran[0].code, 1e3 * seconds, peak, rule))
    return Finding(
        "Turning away Cellomics files that lie",
        ("file", "exit code", "ms", "peak MB", "rule"),
        tuple(rows),
        "The whole program, `corpuscle info FILE --json`, its start included: the median of three runs, and the "
        "largest peak.",
    )


def _liars() -> dict[str, bytes]:
    """Files that are not what they say, by what is wrong with them."""
    pixels = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512)
    good = c01.encode(pixels, um_per_px=0.5)

    def claims(width: int, height: int, body: bytes) -> bytes:
        header = struct.pack("<IiiHHIIiiII12s", 40, width, height, 1, 16, 0, 0, 0, 0, 0, 0, b"\0" * 12)
        return c01.MAGIC + zlib.compress(header + body, 9)

    bomb = zlib.compressobj(9)
    header = struct.pack("<IiiHHIIiiII12s", 40, 512, 512, 1, 16, 0, 0, 0, 0, 0, 0, b"\0" * 12)
    parts = [bomb.compress(header)] + [bomb.compress(bytes(1 << 24)) for _ in range(64)] + [bomb.flush()]
    return {
        "the zlib stream ends half way": good[: len(good) // 2],
        "the magic number is another": b"\x00\x00\x00\x11" + good[4:],
        "no zlib stream follows the magic number": c01.MAGIC + bytes(300),
        "200 bytes that claim 60000 x 60000": claims(60000, 60000, b"\0" * 200),
        "a width of 2147483647": claims(2**31 - 1, 2**31 - 1, b"\0" * 64),
        "a negative height": claims(512, -512, b"\0" * 64),
        "1 GB of zeros behind 512 x 512": c01.MAGIC + b"".join(parts),
        "one byte of the packed pixels flipped": good[:-9] + bytes([good[-9] ^ 255]) + good[-8:],
        "empty": b"",
    }


if __name__ == "__main__":
    show(measure())
