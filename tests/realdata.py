"""Where the real files are, for the tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def real(part: str) -> Path:
    """A file or folder of the real test data; skips, saying which, where it is absent."""
    told = os.environ.get("CORPUSCLE_TEST_DATA")
    base = Path(told) if told else ROOT.parent / "shared" / "data"
    if told and not base.is_dir():
        pytest.fail(f"CORPUSCLE_TEST_DATA is {told!r}, which is not a folder", pytrace=False)
    path = base / part
    if not path.exists():
        pytest.skip(f"real test data absent: {part} (set CORPUSCLE_TEST_DATA)")
    return path
