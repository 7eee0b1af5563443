"""Files that unpack to far more than any picture would: refused by their headers, before anything is unpacked.

Pictures carry noise. Twelve bits of it in sixteen pack 2 to 1, and even a well without a cell has the noise of the
camera, so that no real picture is known to pack 20 to 1. What packs more than `RATIO` to 1 was computed: an empty
canvas, labels, or a bomb. Up to `PICTURE` bytes that does no harm; labels are honest at any ratio, and pass up to
`LABELS` bytes wherever a file may hold them.
"""

from __future__ import annotations

from pathlib import Path

from corpuscle.errors import FormatError

RATIO = 100
PICTURE = 64 << 20
LABELS = 256 << 20


def defuse(unpacked: int, packed: int, *, where: str | Path, rule: str, labels: bool = False) -> None:
    """FormatError of this rule where `packed` bytes claim to be `unpacked` ones, and that is both much and suspicious.

    Parameters
    ----------
    labels
        Whether these may be labels, of which more is taken.

    >>> defuse(1 << 30, 1 << 24, where="noise.png", rule="png-bomb")
    >>> defuse(1 << 30, 1 << 20, where="a.png", rule="png-bomb")
    Traceback (most recent call last):
    ...
    corpuscle.errors.FormatError: a.png: 1.0 MiB that unpack to 1024 MiB, 1024 to 1, are no picture but a bomb: more \
than 100 to 1 is taken up to 64 MiB (if it is honest, write it again without compression) [png-bomb]
    """
    most = LABELS if labels else PICTURE
    if unpacked > most and unpacked > RATIO * packed:
        raise FormatError(
            f"{packed / (1 << 20):.1f} MiB that unpack to {unpacked >> 20} MiB, {unpacked // max(1, packed)} to 1, are "
            f"no picture but a bomb: more than {RATIO} to 1 is taken up to {most >> 20} MiB",
            where=where,
            fix="if it is honest, write it again without compression",
            rule=rule,
        )
