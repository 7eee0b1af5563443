"""An image of any size into a store, shard by shard: resumed after a kill, compared with its source at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from corpuscle.blocks.engines.outcome import Engine
from corpuscle.blocks.progress import Progress, Receipt, Watch, unwatched
from corpuscle.blocks.request import Request, needs, tile_of
from corpuscle.blocks.sink import ZarrSink
from corpuscle.blocks.unpack import Compared, Direct, Slab, compared, slabs, unpack
from corpuscle.core import Box, Cut
from corpuscle.core.disk import free_space
from corpuscle.errors import CorpuscleError, PlanError, SettingsError, StoreError
from corpuscle.formats import omezarr
from corpuscle.formats.pyramids import put
from corpuscle.store.atomic import read_json, remove, write_json
from corpuscle.store.ledger import Ledger, beside

DAMAGED = frozenset({"spool-torn", "zarr-corrupt", "sink-block"})


def convert(request: Request, *, engine: Engine, watch: Watch = unwatched) -> Receipt:
    """Write images of any size as OME-Zarr 0.5; what a killed run has written is kept and gone on from.

    A unit that fails does not stop the others; `dst` is then not there yet, and a rerun does what is missing.
    Where pixels come in compressed planes that are larger than blocks, each plane is decoded once, into a file.

    Raises
    ------
    SettingsError
        Something is at `dst` already, or a conversion of something else to it is unfinished.
    PlanError
        The disk has no room for it.
    StoreError
        Another run is at work on it.
    """
    place = beside(request.dst)
    if request.dst.exists() and not _published(place, request):
        raise SettingsError(
            "something is here already", where=request.dst, fix="name a new file", rule="convert-exists"
        )
    note, work = place / "convert.json", place / "work"
    if note.exists() and (was := read_json(note)).get("key") != request.key:
        raise SettingsError(
            f"a conversion of {was.get('source', {}).get('file')} to this name is unfinished, and it was another "
            "source, another state of it, or had other settings",
            where=place,
            fix=f"finish that one, or remove {place.name}",
            rule="convert-other",
        )
    if not note.exists():
        _fits(request)
    with Ledger(place) as ledger:
        if not note.exists():
            remove(work)
            write_json(note, {"key": request.key, "source": dict(request.source)})
        run = _Run(engine, ledger, watch)
        if not request.dst.exists():
            for name in request.images:
                _layer(request, name, work, run)
            if run.failures:
                return run.receipt()
            _finish(request, work / "image.zarr")
    remove(work)
    remove(place / "units")  # the note goes last: without it nobody would know that all this is over
    remove(place)
    return run.receipt()


def _fits(request: Request) -> None:
    need, free = needs(request), free_space(request.dst.parent)
    if free is not None and need > free:
        raise PlanError(
            f"this takes about {need:,} bytes while it runs, and {free:,} are free",
            where=request.dst.parent,
            fix="free some space, or write elsewhere",
            rule="disk-full",
        )


def _published(place: Path, request: Request) -> bool:
    """Whether the store is there because this very conversion made it, and only its notes were not removed."""
    note = place / "convert.json"
    return note.exists() and not (place / "work" / "image.zarr").exists() and read_json(note).get("key") == request.key


def _sink(request: Request, name: str, work: Path) -> ZarrSink:
    image, main = request.images[name], next(iter(request.images))
    path = work / "image.zarr" if name == main else work / "labels" / f"{name}.zarr"
    cut = Cut(image.shape, tile_of(image))
    return ZarrSink(
        path,
        name,
        image.shape,
        image.space,
        cut,
        image.labels_of,
        image.channels,
        None if name == main else "../../",
        request.extra if name == main else None,
        digested=False,
    )


def _layer(request: Request, name: str, work: Path, run: _Run) -> None:
    """Write one layer, and compare it; nothing, where it lies in its place already."""
    if (work / "image.zarr" / "labels" / name).exists():
        return
    image, sink = request.images[name], _sink(request, name, work)
    parts = slabs(image, sink.blocks)
    sink.open(image.dtype)
    if sink.begun:
        _reopen(sink, name, parts, run)
    sink.tiers()  # makes the metadata, or says why there can be none, before any block
    _passes(request, name, sink, parts, work, run)
    if any(e.rule in DAMAGED for e in run.failures):
        _reopen(sink, name, parts, run, deep=True)


def _reopen(sink: ZarrSink, name: str, parts: Sequence[Direct | Slab], run: _Run, *, deep: bool = False) -> None:
    """Have what an earlier run has written, and what is damaged since, written again."""
    sink.sweep(deep=deep)
    for n, part in enumerate(parts):
        key = f"{name}/{n}"
        done = run.ledger.finished(key)
        spoilt = [
            i for i, box in enumerate(part.blocks(sink.blocks)) if str(i) in done and not sink.kept(box, deep=deep)
        ]
        for i in spoilt:
            run.ledger.begin(key, str(i))


def _passes(request: Request, name: str, sink: ZarrSink, parts: Sequence[Direct | Slab], work: Path, run: _Run) -> None:
    what = f"{name} of {request.source.get('file', 'the source')}"
    for n, part in enumerate(parts):
        _over(part, f"{name}/{n}", what, partial(_written, sink), sink.blocks, work, run)
    if run.failures:
        return
    for n, units in enumerate(sink.tiers(), 1):
        run.over(f"{name}/tier {n}", f"{what}: tier {n}", sink.build, units)
    if run.failures:
        return
    sink.image()
    if request.verify:
        if sink.sweep(deep=True):  # of the coarser levels, which are compared with nothing, a flipped bit is seen
            sink.image()
        for n, part in enumerate(parts):
            stored = partial(compared, sink.array())
            found = _over(part, f"{name}/check {n}", f"{what}: compared", stored, sink.blocks, work, run)
            _differs([x for x in found if x is not None], name, n, request, run)


def _over(
    part: Direct | Slab,
    key: str,
    stage: str,
    work: Callable[[Direct | Slab, Box], Any],
    blocks: Cut,
    folder: Path,
    run: _Run,
) -> list[Any]:
    """Carry out the blocks of one part of the source, its planes decoded first where they are to be."""
    units = part.blocks(blocks)
    if isinstance(part, Slab):
        file = folder / f"{key.replace('/', '-')}.slab"
        if run.finished(key, units):
            file.unlink(missing_ok=True)
            return []
        part = part.at(file)
        if not file.exists() or file.stat().st_size != part.nbytes:
            run.ledger.forget(f"{key} planes")
            part.make_room()
        run.over(f"{key} planes", stage, partial(unpack, part), part.planes, total=len(blocks), counted=False)
        if not run.finished(f"{key} planes", part.planes):
            return []
    found = run.over(key, stage, partial(work, part), units, total=len(blocks))
    if isinstance(part, Slab) and run.finished(key, units):
        Path(part.file).unlink()
    return found


def _written(sink: ZarrSink, part: Direct | Slab, box: Box) -> int:
    """The work of one block: read, write."""
    pixels = part.read(box)
    sink.write(box, pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    return int(pixels.nbytes)


def _differs(found: Sequence[Compared], name: str, n: int, request: Request, run: _Run) -> None:
    """Note the first voxel that is not as in the source, and have what it belongs to written again by a rerun."""
    wrong = [x for x in found if x.at is not None]
    if not wrong:
        return
    first = min(wrong, key=lambda x: x.at or ())
    voxel = ", ".join(f"{a} {i}" for a, i in zip(request.images[name].space.axes, first.at or (), strict=True))
    run.failures.append(
        StoreError(
            f"{name} is not as its source: at {voxel} it holds {first.stored}, the source {first.expected}; "
            f"{len(wrong)} blocks differ",
            where=request.dst,
            fix="check the disk and whether the source changed, then run again: it is written anew",
            rule="convert-verify",
        )
    )
    for key in list(run.ledger.keys()):
        if key in (f"{name}/{n}", f"{name}/check {n}") or key.startswith(f"{name}/tier "):
            run.ledger.forget(key)


def _finish(request: Request, image: Path) -> None:
    """Put the labels beneath their image, add what else belongs to the store, and give it its name."""
    _, *labels = request.images
    for name in labels:
        folder = image / "labels" / name
        folder.parent.mkdir(exist_ok=True)
        if not folder.exists():
            (image.parent / "labels" / f"{name}.zarr").rename(folder)
    if labels:
        omezarr.list_labels(image)
    for name, data in request.files.items():
        put(image / name, data)
    try:
        image.rename(request.dst)
    except OSError as e:
        raise StoreError(f"cannot take its name: {e.strerror or e}", where=request.dst, rule="convert-publish") from e


@dataclass(slots=True)
class _Run:
    """Passes of units through the engine, each unit noted when it is safe."""

    engine: Engine
    ledger: Ledger
    watch: Watch
    done: int = 0
    skipped: int = 0
    failures: list[CorpuscleError] = field(default_factory=list)
    stages: dict[str, Progress] = field(default_factory=dict)

    def receipt(self) -> Receipt:
        return Receipt(self.done, self.skipped, tuple(self.failures))

    def finished(self, key: str, units: Sequence[Any]) -> bool:
        return self.ledger.count(key) == len(units)

    def over(
        self,
        key: str,
        stage: str,
        work: Callable[[Any], Any],
        units: Sequence[Any],
        *,
        total: int | None = None,
        counted: bool = True,
    ) -> list[Any]:
        """What the units answer that were not done before; those of a stage of several passes may go uncounted."""
        before = self.ledger.finished(key)
        todo = [i for i in range(len(units)) if str(i) not in before]
        layer = stage.split(" of ", 1)[0]
        progress = self.stages.get(stage) or Progress(stage, total=total or len(units), step=layer)
        if counted:
            self.skipped += len(units) - len(todo)
            progress = progress.tick(skipped=len(units) - len(todo))
        out = []

        def drawn() -> Iterator[tuple[int, Any]]:
            for i in todo:
                self.ledger.begin(key, str(i))
                yield i, units[i]

        for outcome in self.engine.map(partial(_numbered, work), drawn(), threads=True):
            number = outcome.unit[0]
            if outcome.error is not None:
                self.failures.append(_named(outcome.error, str(outcome.unit), f"{stage}, unit {number}"))
                progress = progress.tick(failed=int(counted))
            else:
                out.append(outcome.value)
                if getattr(outcome.value, "at", None) is None:  # a block that differs is compared again by a rerun
                    self.ledger.note(key, str(number), seconds=round(outcome.seconds, 4))
                size = outcome.value if isinstance(outcome.value, int) else getattr(outcome.value, "bytes", 0)
                self.done += int(counted)
                progress = progress.tick(done=int(counted), bytes_=size if counted else 0)
            self.watch(progress)
        self.stages[stage] = progress
        return out


def _numbered(work: Callable[[Any], Any], unit: tuple[int, Any]) -> Any:
    return work(unit[1])


def _named(error: CorpuscleError, unit: str, place: str) -> CorpuscleError:
    """The error with its place, and what it said of its own place."""
    own = f" ({error.where})" if error.where and error.where != unit else ""
    return type(error)(f"{error.message}{own}", where=place, fix=error.fix, rule=error.rule)
