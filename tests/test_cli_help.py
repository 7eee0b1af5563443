"""The help of every verb: on one screen, and without waiting for a library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
VERBS = ("recipes", "demo", "fake", "info", "convert", "plan", "build", "check", "audit", "split", "bench", "report")
HEAVY = (
    *("numpy", "scipy", "skimage", "torch", "matplotlib", "jinja2", "rich"),
    *("zarr", "tensorstore", "pyarrow", "numcodecs", "tifffile", "PIL", "imagecodecs"),
)
# Runs the command line as a user does, and says at the end what it has loaded of the heavy ones.
WATCHED = f"""
import sys
sys.argv[0] = "corpuscle"
from corpuscle.cli import main
code = 0
try:
    main()
except SystemExit as e:
    code = e.code or 0
sys.stderr.write("loaded: " + " ".join(m for m in {HEAVY!r} if m in sys.modules))
sys.exit(code)
"""


def corpuscle(*args: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(SRC), "COLUMNS": str(columns), "LINES": "24", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED, *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", [(), *((v,) for v in VERBS)], ids=lambda v: v[0] if v else "itself")
def test_help_fits_one_screen_and_loads_nothing_heavy(verb: tuple[str, ...]) -> None:
    said = corpuscle(*verb, "--help")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert said.stderr.endswith("loaded: ")


def test_the_help_names_every_verb() -> None:
    listed = {line.split()[0] for line in corpuscle("--help").stdout.partition("Commands:")[2].splitlines() if line}
    assert listed == set(VERBS)


def test_no_verb_is_help_and_an_unknown_one_is_refused() -> None:
    assert "Usage:" in (said := corpuscle()).stdout + said.stderr
    bad = corpuscle("nuclei")
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, corpuscle; print([m for m in {HEAVY!r} if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout.strip() == "[]"
