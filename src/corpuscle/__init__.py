"""A foundry for bioimage data sets: raw microscope files in, a published benchmark out."""

from __future__ import annotations

__version__ = "0.1.0"
