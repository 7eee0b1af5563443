"""The cache of compiled code: shared by processes that start at once, done without where there is no place for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import corpuscle

USE = """
import hashlib, numpy as np
from corpuscle.kernels.forest import roots
from corpuscle.kernels.labels import dense
x = np.random.default_rng(0).integers(0, 50, (40, 50), np.uint8)
print(hashlib.sha256(dense(x)[0].tobytes() + roots(99, [[3, 5], [5, 9]]).tobytes()).hexdigest())
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what the kernels need, without what was compiled."""
    source = Path(corpuscle.__file__).parent
    target = tmp_path / "here" / "corpuscle"
    for name in ("__init__.py", "errors.py", "core", "kernels"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)
    return target.parent


def start(package: Path, **environment: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-c", USE], env={**clean, "PYTHONPATH": str(package), **environment}, cwd=package,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_hurt_one_another(package: Path) -> None:
    answers = [p.communicate(timeout=300) for p in [start(package) for _ in range(4)]]
    assert {error for _, error in answers} == {""}
    assert len({told for told, _ in answers}) == 1
    assert list((package / "corpuscle" / "kernels" / "__pycache__").glob("*.nbi"))
    assert start(package).communicate(timeout=300) == answers[0]


@pytest.mark.slow
def test_where_no_folder_takes_the_cache_it_works_all_the_same(package: Path) -> None:
    told, error = start(package).communicate(timeout=300)
    shutil.rmtree(package / "corpuscle" / "kernels" / "__pycache__")
    (package / "corpuscle" / "kernels" / "__pycache__").write_text("a file where the folder would be")
    (package / "home").write_text("and another")
    home = str(package / "home")
    assert start(package, HOME=home, XDG_CACHE_HOME=home).communicate(timeout=300) == (told, error)
