"""What a corpus looks like: pictures on one sheet, plates from above, sizes and intensities in plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corpuscle.bench.run import Run
from corpuscle.corpus.corpus import Corpus
from corpuscle.errors import CorpuscleError
from corpuscle.report import plots
from corpuscle.report.picture import thumbnail
from corpuscle.report.survey import Survey
from corpuscle.report.survey import spread as evenly

SHEET = 96
PLATES = 12
CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the contact sheet."""

    record: str
    uri: str
    width: int
    height: int
    objects: int | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The contact sheet, and of how many records it is."""

    pictures: tuple[Picture, ...]
    of: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing with what stands above it, what it is drawn from, and what it counts."""

    title: str
    svg: str
    source: str
    what: str = ""


def counts(run: Run, looked: Survey | None = None) -> dict[str, int]:
    """The objects of each record: in the truth that the benchmark scored, else in the tables of measurements."""
    out: dict[str, int] = dict(looked.objects) if looked else {}
    for by_record in run.records.values():
        for name, scores in by_record.items():
            if "n_truth" in scores and scores["n_truth"] == scores["n_truth"]:
                out[name] = int(scores["n_truth"])
    return out


def sheet(corpus: Corpus, looked: Survey, run: Run) -> Sheet:
    """Pictures of the records, evenly drawn from a large corpus."""
    objects = counts(run)
    pictures = []
    for name in evenly(looked.acquired, SHEET):
        try:
            made = thumbnail(corpus[name])
        except CorpuscleError:
            continue
        if made is not None:
            uri, (height, width) = made
            pictures.append(Picture(name, uri, width, height, objects.get(name)))
    return Sheet(tuple(pictures), len(looked.acquired))


def plates(corpus: Corpus, looked: Survey, run: Run) -> list[Plot]:
    """Each plate from above, its wells shaded by the number of objects, or of records where no object is counted."""
    objects = counts(run, looked)
    maps: dict[str, dict[str, tuple[float | None, str]]] = {}
    for plate, wells in list(looked.wells.items())[:PLATES]:
        for well, names in wells.items():
            known = [objects[n] for n in names if n in objects]
            value: float | None = float(sum(known)) if known else None
            if not objects:
                value = float(len(names))
            fields = f"{len(names)} field{'s' * (len(names) != 1)}: {', '.join(names[:6])}{' ...' * (len(names) > 6)}"
            told = f"well {well}: {'no objects counted' if value is None else f'{value:g} objects'}; {fields}"
            maps.setdefault(plate, {})[well] = (value, told if objects else f"well {well}: {fields}")
    most = max((v for wells in maps.values() for v, _ in wells.values() if v is not None), default=1.0)
    what = "objects" if objects else "fields"
    size = plots.plate_size(w for wells in looked.wells.values() for w in wells)
    return [
        Plot(name, plots.plate(name, wells, what=what, most=most, size=size), _source(what, wells), what)
        for name, wells in maps.items()
    ]


def _source(what: str, wells: Mapping[str, tuple[float | None, str]]) -> str:
    known = [v for v, _ in wells.values() if v is not None]
    bare = len(wells) - len(known)
    told = f"{sum(known):,.0f} {what} in {len(known)} well{'s' * (len(known) != 1)}"
    return told + (f"; {bare} more imaged, with nothing counted" if bare else "")


def spread(looked: Survey, run: Run) -> list[Plot]:
    """Histograms of object size and number, and the brightness of each record."""
    out = []
    for unit, values in looked.diameters.items():
        middle = float(np.median(values)) if len(values) else 0.0
        svg = plots.histogram(
            values,
            name=f"diameter of a disc of the same area [{unit}]",
            what="objects",
            marks=[(middle, f"median {middle:.3g}")],
        )
        source = f"{len(values)} objects, from the tables “objects” of {len(looked.objects)} records"
        out.append(Plot("Size of objects", svg, source))
    if objects := counts(run, looked):
        values = np.array(list(objects.values()), np.float64)
        middle = float(np.median(values))
        svg = plots.histogram(
            values, name="objects in a record", what="records", marks=[(middle, f"median {middle:g}")]
        )
        out.append(Plot("Objects in a record", svg, f"{int(values.sum())} objects in {len(values)} records"))
    for channel in _channels(looked):
        rows = [r for r in looked.brightness if r.channel == channel]
        svg = plots.brightness(rows, channel=channel)
        source = f"percentiles 0.1 and 99.9, from the tables “intensity” of {len(rows)} records"
        out.append(Plot(f"Brightness, channel {channel}", svg, source))
    return out


def _channels(looked: Survey) -> list[str]:
    return list(dict.fromkeys(r.channel for r in looked.brightness))[:CHANNELS]
