from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.recompute_scores import TOLERANCE, compare
from tests.realdata import real

from benchmarks import recompute_scores

CLI = Path(sys.executable).with_name("corpuscle")
METRICS = {"f1@.50", "mean_f1", "recall@.50[25-100px]"}


def built(raw: Path, corpus: Path) -> Path:
    command: list[str | Path] = [CLI, "build", "nuclei", raw, corpus, "--workers", "2"]
    subprocess.run(command, check=True, capture_output=True)
    return corpus


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(recompute_scores.__file__).read_text(encoding="utf-8"))
    named = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    named |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in named if name.startswith(("corpuscle", "benchmarks", "tests"))]


def test_counts_of_a_case_done_by_hand() -> None:
    truth, guess = np.zeros((2, 10, 40), np.int64)
    truth[:5, :6], guess[:5, :6] = 7, 3  # 30 px, found at every threshold
    truth[6:, :20], guess[6:, :10] = 2, 9  # 80 px, half of it found: IoU 0.5, and 0.5 is enough
    guess[6:, 10:20] = 4  # the other half does as well, but one object is found once
    truth[:4, 20:], guess[:2, 20:30] = 5, 1  # 80 px, a quarter found
    counts = recompute_scores._count(truth, guess)
    assert (counts.objects, counts.guesses) == (3, 4)
    assert counts.matches == (2, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    assert (counts.small, counts.small_found) == (3, 2)


@pytest.mark.slow
def test_the_faked_plate_scores_the_same(tmp_path: Path) -> None:
    subprocess.run([CLI, "fake", "nuclei", tmp_path / "raw", "--size", "tiny"], check=True, capture_output=True)
    rows = compare(built(tmp_path / "raw", tmp_path / "corpus"), [CLI, "bench"])
    assert {row.metric for row in rows} == METRICS
    assert {row.part for row in rows} == {"all", "published/train", "published/dev", "published/test"}
    assert len({row.guess for row in rows}) == 4
    assert [row for row in rows if not row.off <= TOLERANCE] == []


@pytest.mark.slow
def test_real_images_score_the_same(tmp_path: Path) -> None:
    rows = compare(built(real("nuclei/aitslab/dev"), tmp_path / "corpus"), [CLI, "bench"])
    assert {row.metric for row in rows} == METRICS
    assert [row for row in rows if not row.off <= TOLERANCE] == []
