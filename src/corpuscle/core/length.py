"""How long is it, and in what: micrometres or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corpuscle.errors import SpaceError


@dataclass(frozen=True, slots=True)
class Length:
    """A distance in micrometres (`um`) or in pixels of the full resolution (`px`).

    Which of the two a space can resolve depends on what is known of it: see `Space.pixels`.
    """

    value: float
    unit: Literal["um", "px"]

    def __post_init__(self) -> None:
        if not 0 <= self.value < float("inf"):
            raise SpaceError(f"a length is finite and not negative, got {self.value}")

    def __repr__(self) -> str:
        return f"{self.unit}({self.value:g})"


def um(value: float) -> Length:
    """A length in micrometres.

    >>> um(4)
    um(4)
    """
    return Length(float(value), "um")


def px(value: float) -> Length:
    """A length in pixels of level 0.

    >>> px(16)
    px(16)
    """
    return Length(float(value), "px")
