"""The plan of a plate: its wells and fields, how their cells grow, and how the annotated ones are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from corpuscle.errors import SettingsError
from corpuscle.worlds.culture import Habit, evenly

ROWS, COLUMNS = 16, 24
PARTS = ("train", "dev", "test")
_SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is.

    Parameters
    ----------
    side
        Height and width of an image in px.
    plates
        Over how many plates the wells are spread.
    wells
        Annotated wells.
    fields
        Fields imaged in each well.
    leaks
        Of the annotated wells, those whose fields the published split parts; they have two fields at least.
    bare
        Wells that nobody annotated; among them are empty fields and fields out of focus.
    channels
        Dyes imaged on the first plate and every other after it; the rest have the nuclear one alone.
    """

    side: int
    plates: int
    wells: int
    fields: int
    leaks: int
    bare: int
    channels: int = 1


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "tiny": Size(side=256, plates=1, wells=6, fields=2, leaks=2, bare=1, channels=2),
        "small": Size(side=736, plates=1, wells=12, fields=2, leaks=3, bare=1, channels=2),
        "real": Size(side=1104, plates=5, wells=35, fields=1, leaks=5, bare=5, channels=2),
        "plate384": Size(side=512, plates=1, wells=20, fields=1, leaks=4, bare=364),
    }
)
"""The worlds there are, by name."""


@dataclass(frozen=True, slots=True)
class Site:
    """One field of the plan.

    Parameters
    ----------
    plate, well, field
        Where it is: a plate's name, a well such as ``B07``, a number from 0.
    side
        Height and width of its image in px.
    habit
        How its cells grow.
    channels
        How many dyes are imaged: d0 is the nuclear one.
    overlay
        Whether the vendor's software left its outlines.
    part
        Where the published split puts it; None for a field that nobody annotated.
    key
        What its random numbers start from: alike for alike seeds, whatever else is generated.
    """

    plate: str
    well: str
    field: int
    side: int
    habit: Habit
    channels: int
    overlay: bool
    part: str | None
    key: tuple[int, ...]

    @property
    def name(self) -> str:
        """Plate, well and field, as file names spell them."""
        return f"{self.plate}_{self.well}f{self.field:02d}"


def plan(size: str = "small", *, seed: int = 0) -> tuple[Site, ...]:
    """Every field of a world, in order of plate, well and field.

    Density and brightness are drawn once per well, evenly over their distributions, so that a small world is as
    mixed as a large one. The split goes by well, but for `Size.leaks` wells, whose first field is in train and
    another in dev or test by turns, as it happened to the published split of Aitslab-bioimaging1.
    Raises SettingsError for a size that is not in `SIZES` and for a seed below 0.

    >>> sites = plan("tiny", seed=3)
    >>> len(sites), sites[0].part in PARTS, len({s.name for s in sites})
    (14, True, 14)
    """
    if size not in SIZES:
        raise SettingsError(f"no world is called {size!r}", fix=f"one of {', '.join(SIZES)}", rule="world-size")
    if seed < 0:
        raise SettingsError(f"a seed is 0 or more, not {seed}", rule="world-seed")
    of = SIZES[size]
    rng = np.random.default_rng([seed, *size.encode()])
    total = of.wells + of.bare
    plates = [f"SIMcx7_26{1 + k:02d}01090001" for k in range(of.plates)]
    spots = [rng.permutation(ROWS * COLUMNS)[: -(-total // of.plates)] for _ in plates]
    density = np.exp(0.33 * evenly(total, rng))
    bright = np.exp(0.1 * evenly(total, rng))
    parts = _parts(of)
    sites: list[Site] = []
    bare = 0
    for k in range(total):
        plate = k % of.plates
        row, column = divmod(int(spots[plate][k // of.plates]), COLUMNS)
        count = max(of.fields, 2 if k < of.leaks else 1)
        for i, number in enumerate(sorted(rng.choice(16, count, replace=False).tolist())):
            usual = Habit()
            habit = replace(
                usual,
                density=usual.density * float(np.clip(density[k] * np.exp(rng.normal(0, 0.15)), 0.5, 2.1)),
                bright=usual.bright * float(bright[k]),
                fibre=len(sites) % 12 == 7,
                defocus=1.2 if len(sites) % 10 == 4 else 0.0,
            )
            part = parts[k][i] if k < of.wells else None
            if part is None:
                habit = _spoilt(habit, bare)
                bare += 1
            sites.append(
                Site(
                    plate=plates[plate],
                    well=f"{chr(ord('A') + row)}{column + 1:02d}",
                    field=number,
                    side=of.side,
                    habit=habit,
                    channels=of.channels if plate % 2 == 0 else 1,
                    overlay=len(sites) % 6 == 0,
                    part=part,
                    key=(seed, plate, row, column, number),
                )
            )
    return tuple(sorted(sites, key=lambda s: (s.plate, s.well, s.field)))


def _spoilt(habit: Habit, k: int) -> Habit:
    """What the k-th field without annotation is like: some are empty, some out of focus, most as the rest."""
    if k % 12 == 0:
        return replace(habit, density=0.0, fibre=False)
    return replace(habit, defocus=6.0) if k % 12 == 1 else habit


def _parts(of: Size) -> list[tuple[str, ...]]:
    """The part of each field of each annotated well; the first `leaks` wells are parted, the rest whole."""
    told: list[tuple[str, ...]] = []
    have = dict.fromkeys(PARTS, 0)
    for k in range(of.wells):
        if k < of.leaks:
            fields = ("train", *[("test", "dev")[k % 2]] * (max(of.fields, 2) - 1))
        else:
            need = max(zip(_SHARES, PARTS, strict=True), key=lambda sp: (sp[0] / (1 + have[sp[1]]), sp[0]))[1]
            fields = (need,) * of.fields
        told.append(fields)
        for part in fields:
            have[part] += 1
    return told
