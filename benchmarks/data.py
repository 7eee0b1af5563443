"""Where real images are, for the benchmarks that can use them."""

from __future__ import annotations

import os
from pathlib import Path


def real(part: str) -> Path | None:
    """A file or folder of the real test data; None where it is absent."""
    told = os.environ.get("CORPUSCLE_TEST_DATA")
    base = Path(told) if told else Path(__file__).resolve().parents[2] / "shared" / "data"
    path = base / part
    return path if path.exists() else None
