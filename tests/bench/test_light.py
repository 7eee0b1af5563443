"""The command line answers in a fifth of a second, so these two packages load nothing heavy of themselves."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_packages_load_without_numpy() -> None:
    ask = "import corpuscle.bench, corpuscle.metrics, sys; print('numpy' in sys.modules, 'scipy' in sys.modules)"
    path = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    out = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=path)
    assert out.stdout.split() == ["False", "False"]
