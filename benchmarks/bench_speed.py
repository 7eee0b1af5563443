"""How fast the main things are, on this machine: a build from camera files, reading, scoring, the command line.

    python benchmarks/bench_speed.py [--files 400] [--workers 2]

Everything is faked first, in a temporary folder, and not timed. Memory is that of the process and its workers together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from scipy import ndimage

from corpuscle import formats
from corpuscle.blocks.engines.local import Local
from corpuscle.metrics.instances import compare
from corpuscle.recipe import build
from corpuscle.recipes import load
from corpuscle.worlds.nuclei import write_scale


@contextmanager
def peak() -> Iterator[Callable[[], float]]:
    """The most memory that this process and its children held together inside the block, in MB."""
    done, most = threading.Event(), [0]
    me = psutil.Process()

    def watch() -> None:
        while not done.wait(0.1):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            most[0] = max(most[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most[0] / 1e6
    finally:
        done.set()
        thread.join()


def best(work: Callable[[], object], *, times: int = 5) -> float:
    """Seconds of the fastest of several runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def labels(side: int, *, seed: int) -> np.ndarray:
    """A field of some two hundred round objects."""
    rng = np.random.default_rng(seed)
    ink = np.zeros((side, side), np.float32)
    ink[tuple(rng.integers(0, side, (2, 200)))] = 1
    return np.asarray(ndimage.label(ndimage.gaussian_filter(ink, 12) > 0.0005)[0], np.int32)


def main(files: int, workers: int) -> None:
    """Measure, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        write_scale(raw, files)
        with peak() as most, Local(workers) as engine:
            start = time.perf_counter()
            receipt = build(load("nuclei"), raw, Path(folder, "corpus"), engine=engine)
            seconds = time.perf_counter() - start
        assert receipt.ok, "every faked file can be read"
        print(f"build of {files} C01 files of 512 x 512, {workers} workers: {files / seconds:.1f} files/s", end="")
        print(f", {seconds:.1f} s, peak {most():.0f} MB")
        start = time.perf_counter()
        with Local(workers) as engine:
            build(load("nuclei"), raw, Path(folder, "corpus"), engine=engine)
        print(f"the same again, with nothing to do: {time.perf_counter() - start:.1f} s")
        one = next(raw.rglob("*.C01"))
        print(f"reading a C01 file of 512 x 512: {best(lambda: formats.read(one).image('raw').read()) * 1e3:.1f} ms")
    truth, guess = labels(1104, seed=0), labels(1104, seed=0)
    guess = np.roll(guess, 1, axis=0)
    spent = best(lambda: compare(truth, guess))
    print(f"scoring {truth.max()} objects in 1104 x 1104 at ten thresholds: {spent * 1e3:.0f} ms")
    helped = best(
        lambda: subprocess.run([sys.executable, "-m", "corpuscle", "build", "--help"], capture_output=True, check=True)
    )
    print(f"corpuscle build --help: {helped * 1e3:.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    told = parser.parse_args()
    main(told.files, told.workers)
