"""A SLURM of one machine: sbatch, squeue and scancel over real process groups, with real accidents.

Jobs are numbered from 1. What happens to job N is the N-th word of the file `fates`, or else `fine`:

    fine       runs until it ends, or is killed with its whole group when its time is up
    late:S     waits S seconds in the queue first
    lost       is given a number, and never heard of again
    requeue:S  is killed after S seconds, waits for one, and runs from the start
    twice      runs twice at the same time
    refused    is not taken
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

WAITING, RUNNING = "PENDING", "RUNNING"


def install(folder: Path, *fates: str) -> Path:
    """Put the three programs into a folder for PATH, and their state beside it; the folder."""
    tools = folder / "bin"
    tools.mkdir(parents=True)
    (folder / "jobs").mkdir()
    (folder / "fates").write_text(" ".join(fates))
    for name in ("sbatch", "squeue", "scancel"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" "{folder}" {name} "$@"\n')
        tool.chmod(0o755)
    return tools


def submitted(folder: Path) -> int:
    """How many jobs there have been."""
    return len(list((folder / "jobs").glob("*.script")))


def clear(folder: Path) -> None:
    """Kill whatever is left of all jobs."""
    for job in (folder / "jobs").glob("*.script"):
        scancel(folder, job.stem)


def sbatch(folder: Path, script: Path) -> str:
    fates = (folder / "fates").read_text().split()
    number = submitted(folder) + 1
    while True:
        try:
            with (folder / "jobs" / f"{number}.script").open("x") as f:
                f.write(script.read_text())
            break
        except FileExistsError:
            number += 1
    fate = fates[number - 1] if number <= len(fates) else "fine"
    if fate == "refused":
        raise SystemExit("sbatch: error: Batch job submission failed: Invalid account")
    if fate != "lost":
        _say(folder, number, WAITING)
        for _ in range(2 if fate == "twice" else 1):
            subprocess.Popen(
                [sys.executable, "-S", __file__, str(folder), "supervise", str(number), fate],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    return f"Submitted batch job {number}"


def supervise(folder: Path, number: int, fate: str) -> None:
    """What slurmctld and slurmd do to one job."""
    script = folder / "jobs" / f"{number}.script"
    kind, _, time_ = fate.partition(":")
    if kind == "late":
        time.sleep(float(time_))
    limit = _limit(script.read_text())
    _run(folder, number, script, float(time_) if kind == "requeue" else limit)
    if kind == "requeue" and _state(folder, number) == RUNNING:
        _say(folder, number, WAITING)
        time.sleep(1)
        _run(folder, number, script, limit)
    if _state(folder, number) is not None:
        (folder / "jobs" / f"{number}.state").unlink(missing_ok=True)


def _run(folder: Path, number: int, script: Path, limit: float) -> None:
    if _state(folder, number) is None:
        return  # cancelled while it waited
    with (folder / "jobs" / f"{number}.log").open("ab") as log:
        env = os.environ | {"SLURM_JOB_ID": str(number)}
        job = subprocess.Popen(["sh", str(script)], start_new_session=True, stdout=log, stderr=log, env=env)
    with (folder / "jobs" / f"{number}.groups").open("a") as f:
        f.write(f"{job.pid}\n")
    _say(folder, number, RUNNING)
    try:
        job.wait(limit)
    except subprocess.TimeoutExpired:
        _kill(job.pid)
        job.wait()


def squeue(folder: Path) -> str:
    return "\n".join(sorted(p.stem for p in (folder / "jobs").glob("*.state")))


def scancel(folder: Path, number: str) -> None:
    (folder / "jobs" / f"{number}.state").unlink(missing_ok=True)
    groups = folder / "jobs" / f"{number}.groups"
    for group in groups.read_text().split() if groups.exists() else ():
        _kill(int(group))


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _say(folder: Path, number: int, state: str) -> None:
    (folder / "jobs" / f"{number}.state").write_text(state)


def _state(folder: Path, number: int) -> str | None:
    try:
        return (folder / "jobs" / f"{number}.state").read_text()
    except FileNotFoundError:
        return None


def _limit(script: str) -> float:
    found = re.search(r"#SBATCH -t (\d+):(\d+):(\d+)", script)
    assert found, "a job says how long it may take"
    return int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])


def main(folder: Path, verb: str, *args: str) -> None:
    if verb == "sbatch":
        print(sbatch(folder, Path(args[-1])))
    elif verb == "squeue":
        print(squeue(folder))
    elif verb == "scancel":
        scancel(folder, args[-1])
    else:
        supervise(folder, int(args[0]), args[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
