"""SIGTERM, as a queue sends it before it kills: nothing new begins, workers end, the exit code says `again`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CODE = 75
"""EX_TEMPFAIL of sysexits.h: what was asked for is right, and the same command goes on from here."""
GRACE = 8.0
"""Seconds within which everything has ended, or is left where it is: what is on disk is whole at any moment."""
KEPT = "stopped; what is done is kept, and the same command goes on from here"


class Stopped(SystemExit):
    """The run was told to end; no `except Exception` on its way may take it for a failure."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, SIGTERM raises Stopped in the main thread, once; elsewhere than there, nothing is changed.

    The main thread hears of it when it is back from whatever library it is in. A second one waits
    on a pipe that the system's own part of the signal writes to, so that GRACE holds in any case.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    before = signal.signal(signal.SIGTERM, _stop)
    woken = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(ear, GRACE), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        os.close(mouth)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_IGN)
    raise Stopped(CODE)


def _watch(ear: int, grace: float) -> None:
    """Wait for the signal, then for the end; workers end by themselves when their coordinator is gone."""
    try:
        while signal.SIGTERM not in (numbers := os.read(ear, 64)):
            if not numbers:
                return
    finally:
        os.close(ear)
    time.sleep(grace)
    os.write(2, f"{KEPT}\n".encode())
    os._exit(CODE)
