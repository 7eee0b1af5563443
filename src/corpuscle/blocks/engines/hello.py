"""Whether the workers of a cluster have the same software as the coordinator, and see the same files."""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.errors import StepError

if TYPE_CHECKING:
    from corpuscle.blocks.engines.join import Joined


def facts(token: str = "") -> dict[str, str]:
    """What has to be the same everywhere, and whether a file is seen."""
    import numpy as np

    import corpuscle

    return {
        "corpuscle": corpuscle.__version__,
        "numpy": np.__version__,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "sees": str(not token or Path(token).is_file()),
    }


def same_everywhere(joined: Joined, *, share: Path | None, patience: float) -> None:
    """Ask all workers that are there; a StepError names the first that differs, and in what.

    Waits for a first worker where the cluster does not start its own.
    """
    until = time.monotonic() + patience
    while not joined.threads():
        if joined.grows:
            return
        if time.monotonic() > until:
            raise joined.deserted(patience)
        time.sleep(0.2)
    token = share / f".corpuscle-{uuid.uuid4().hex}" if share is not None else None
    if token is not None:
        token.parent.mkdir(parents=True, exist_ok=True)
        token.touch()
    try:
        told: dict[str, Any] = joined.client.run(facts, str(token or ""), on_error="return")
    finally:
        if token is not None:
            token.unlink(missing_ok=True)
    ours = facts()
    for worker, theirs in sorted(told.items()):
        if not isinstance(theirs, dict):
            raise _differs(worker, f"cannot import corpuscle: {theirs}")
        for name, version in ours.items():
            if name == "sees" and theirs[name] != version:
                raise _differs(worker, f"does not see {share}", "cluster-files")
            if theirs[name] != version:
                raise _differs(worker, f"has {name} {theirs[name]}, and the coordinator {version}")


def _differs(worker: str, what: str, rule: str = "cluster-software") -> StepError:
    fix = (
        "use folders of a file system that all machines share"
        if rule == "cluster-files"
        else "start the workers in the same environment as the coordinator"
    )
    return StepError(f"this worker {what}", where=worker, fix=fix, rule=rule)
