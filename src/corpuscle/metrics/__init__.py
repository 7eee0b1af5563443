"""Truth and guess in, tallies out. A tally adds up over records; its scores are taken last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from corpuscle.errors import SettingsError

METRICS: Mapping[str, str] = MappingProxyType(
    {
        "instances": "corpuscle.metrics.instances",
        "pixels": "corpuscle.metrics.pixels",
        "boundary": "corpuscle.metrics.boundary",
    }
)
"""Name of a metric to the module that holds the function of that name."""


def find(name: str) -> Callable[..., Any]:
    """The metric of this name; raises SettingsError where there is none.

    >>> find("pixels").__name__
    'pixels'
    """
    if name not in METRICS:
        raise SettingsError(f"no metric {name!r}, only {list(METRICS)}", rule="metric-unknown")
    found: Callable[..., Any] = getattr(import_module(METRICS[name]), name)
    return found
