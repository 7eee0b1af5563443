"""Files of a corpus: whether they are in it, and what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from corpuscle.corpus.layout import Layout


def inside(layout: Layout, place: str) -> Path | None:
    """A path within the corpus; None if it leads out of it, or in a circle."""
    try:
        return layout.inside(place)
    except (OSError, RuntimeError):
        return None


def sha256(path: Path) -> str:
    """Digest of a file, read piece by piece; '' where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
