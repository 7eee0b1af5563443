"""Channels as the ``omero`` block of OME-NGFF has them, and the facts for which it has no words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from corpuscle.core.image import Channel
from corpuscle.errors import FormatError
from corpuscle.formats import vetted

_COLOURS = ("00FFFF", "FF00FF", "FFFF00", "FF0000", "00FF00", "0000FF")


def block(
    channels: Sequence[Channel], dtype: np.dtype[Any], windows: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    """The channels of an ``omero`` block; shown over the whole range of `dtype` where `windows` is empty."""
    low, high = (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0.0, 1.0)
    if windows and len(windows) != len(channels):
        raise FormatError(
            f"{len(windows)} display ranges for {len(channels)} channels",
            fix="give one range for each channel",
            rule="ngff-omero",
        )
    shown = windows or [(low, high)] * len(channels)
    return [
        {
            "label": c.name,
            "active": True,
            "color": (c.colour or _colour(c, i, len(channels))).upper(),
            "window": {"min": min(low, start), "max": max(high, end), "start": float(start), "end": float(end)},
        }
        for i, (c, (start, end)) in enumerate(zip(channels, shown, strict=True))
    ]


def _colour(channel: Channel, place: int, of: int) -> str:
    """A colour to show a channel in: near its emission where that is known."""
    if channel.emission_nm is not None:
        bands = ((490, "0000FF"), (560, "00FF00"), (600, "FFFF00"), (700, "FF0000"))
        return next((colour for upper, colour in bands if channel.emission_nm < upper), "FF00FF")
    return "FFFFFF" if of == 1 else _COLOURS[place % len(_COLOURS)]


def facts(c: Channel) -> dict[str, Any]:
    """All that is known of a channel, by name."""
    facts = {"name": c.name, "dye": c.dye, "excitation_nm": c.excitation_nm, "emission_nm": c.emission_nm}
    return {k: v for k, v in (facts | {"colour": c.colour}).items() if v is not None}


def channels(omero: object, ours: object, where: str) -> tuple[Channel, ...]:
    """Channels from our own facts, else from what an ``omero`` block tells; none without either."""
    if isinstance(ours, list):
        return tuple(_channel(c, where) for c in ours)
    if not isinstance(omero, dict) or not isinstance(omero.get("channels"), list):
        return ()
    out = []
    for i, item in enumerate(omero["channels"]):
        c = vetted.mapping(item, "omero.channels", where)
        label, colour = c.get("label"), c.get("color")
        known = isinstance(colour, str) and len(colour) == 6 and not set(colour.lower()) - set("0123456789abcdef")
        out.append(Channel(label if isinstance(label, str) else f"c{i}", colour=cast("str", colour) if known else None))
    return tuple(out)


def _channel(item: object, where: str) -> Channel:
    c = vetted.mapping(item, "corpuscle.channels", where)
    dye, colour = (c[k] if isinstance(c.get(k), str) else None for k in ("dye", "colour"))
    lit, seen = (float(c[k]) if vetted.is_number(c.get(k)) else None for k in ("excitation_nm", "emission_nm"))
    return Channel(vetted.text(c.get("name"), "channel name", where), dye, lit, seen, colour)
