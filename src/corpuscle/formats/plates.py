"""OME-NGFF plates and wells: their metadata, and the groups that hold a plate together on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.errors import FormatError
from corpuscle.formats import ngff, vetted
from corpuscle.formats.pyramids import group, put


@dataclass(frozen=True, slots=True)
class Plate:
    """What the attributes of a plate group say: wells as ``row/column`` paths, in reading order."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    version: ngff.Version = "0.5"


def plate(
    name: str,
    wells: Sequence[str],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    field_count: int,
    version: ngff.Version = "0.5",
    acquisitions: Sequence[Mapping[str, Any]] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The attributes of a plate group.

    `wells` are the ``row/column`` paths that exist; `rows` and `columns` name the whole plate and are taken from
    the wells where left out, in plate order (A, B, ... Z, AA; 1, 2, ... 10).

    >>> plate("p", ["B/2", "A/10"], field_count=1)["ome"]["plate"]["wells"][0]
    {'path': 'A/10', 'rowIndex': 0, 'columnIndex': 1}
    """
    pairs = [_well_path(w) for w in wells]
    rows = list(rows) or sorted({r for r, _ in pairs}, key=plate_order)
    columns = list(columns) or sorted({c for _, c in pairs}, key=plate_order)
    if missing := [w for w, (r, c) in zip(wells, pairs, strict=True) if r not in rows or c not in columns]:
        raise FormatError(
            f"wells outside the plate: {missing[:5]}",
            where=name,
            fix="mend the metadata of the plate",
            rule="ngff-plate",
        )
    listed = sorted((rows.index(r), columns.index(c), f"{r}/{c}") for r, c in pairs)
    body: dict[str, Any] = {
        "version": version,
        "name": name,
        "rows": [{"name": r} for r in rows],
        "columns": [{"name": c} for c in columns],
        "wells": [{"path": w, "rowIndex": r, "columnIndex": c} for r, c, w in listed],
        "field_count": max(1, field_count),
    }
    if acquisitions:
        body["acquisitions"] = [dict(a) for a in acquisitions]
    return ngff.group_attributes({"plate": body}, version, dict(extra or {}))


def well(
    fields: Sequence[str], *, version: ngff.Version = "0.5", acquisitions: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The attributes of a well group that holds these fields; `acquisitions` says in which each was taken.

    >>> well(["0", "1"])["ome"]["well"]["images"]
    [{'path': '0'}, {'path': '1'}]
    """
    of = acquisitions or {}
    body: dict[str, Any] = {"images": [{"path": f, **({"acquisition": of[f]} if f in of else {})} for f in fields]}
    if version == "0.4":
        body["version"] = "0.4"
    return ngff.group_attributes({"well": body}, version, {})


def parse_plate(attributes: object, *, where: str = "") -> Plate:
    """What plate attributes say; a FormatError where they contradict themselves."""
    ome, version = ngff.ome_block(attributes, where)
    body = vetted.mapping(ome.get("plate"), "plate", where)
    rows, columns = (
        tuple(
            vetted.text(vetted.mapping(x, what, where).get("name"), f"{what}.name", where)
            for x in vetted.items(body.get(what), what, where)
        )
        for what in ("rows", "columns")
    )
    wells = []
    for item in vetted.items(body.get("wells"), "wells", where):
        path = vetted.inner_path(vetted.mapping(item, "wells", where).get("path"), where)
        row, column = _well_path(path, where)
        if row not in rows or column not in columns:
            raise FormatError(
                f"well {path!r} is in no row and column of the plate",
                where=where,
                fix="mend the metadata of the plate",
                rule="ngff-plate",
            )
        wells.append(path)
    if len(set(wells)) != len(wells):
        raise FormatError("the same well twice", where=where, fix="mend the metadata of the plate", rule="ngff-plate")
    name = body.get("name")
    return Plate(name if isinstance(name, str) else "", rows, columns, tuple(wells), version)


def parse_well(attributes: object, *, where: str = "") -> tuple[str, ...]:
    """The paths of a well's fields."""
    ome, _ = ngff.ome_block(attributes, where)
    body = vetted.mapping(ome.get("well"), "well", where)
    images = vetted.items(body.get("images"), "images", where)
    return tuple(vetted.inner_path(vetted.mapping(i, "images", where).get("path"), where) for i in images)


def plate_order(name: str) -> tuple[int, int, str]:
    """How rows and columns of a plate are sorted: by number, or by length and letters."""
    return (0, int(name), name) if name.isdecimal() else (1, len(name), name)


def write_plate(
    path: Path,
    wells: Mapping[str, Sequence[str]],
    *,
    name: str | None = None,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    version: ngff.Version = "0.5",
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Bind images that lie at ``path/row/column/field`` together as a plate.

    Writes the metadata of the wells, of the rows, and last that of the plate; each file is old or new, so a plate
    may be bound again whenever wells have come or gone.

    Parameters
    ----------
    wells
        ``row/column`` and the folders of the fields in it.
    rows, columns
        All of the plate, where it is larger than what was imaged.
    extra
        JSON to keep under ``corpuscle``, such as where the preview is.

    Raises
    ------
    FormatError
        A field is not there, or a name is not of letters and digits alone.
    """
    attributes = plate(
        name or path.name.removesuffix(".zarr"),
        list(wells),
        rows=rows,
        columns=columns,
        field_count=max((len(f) for f in wells.values()), default=1),
        version=version,
        extra=extra,
    )
    marker = ".zattrs" if version == "0.4" else "zarr.json"
    for place, fields in wells.items():
        for field in fields:
            if not (field.isascii() and field.isalnum()):
                raise FormatError(
                    f"a field is named by letters and digits, not {field!r}",
                    where=path / place,
                    fix="mend the metadata of the plate",
                    rule="ngff-plate",
                )
            if not (path / place / field / marker).exists():
                raise FormatError(
                    f"no field {field!r} is here",
                    where=path / place,
                    fix="name a field that is there",
                    rule="ngff-field-missing",
                )
        _put_group(path / place, well(fields, version=version), version)
    for row in sorted({w.split("/")[0] for w in wells}):
        _put_group(path / row, {}, version)
    _put_group(path, attributes, version)


def _put_group(folder: Path, attributes: Mapping[str, Any], version: ngff.Version) -> None:
    for file, text in group(attributes, version).items():
        put(folder / file, text)


def _well_path(path: str, where: str = "") -> tuple[str, str]:
    parts = path.split("/")
    if len(parts) != 2 or not all(p.isascii() and p.isalnum() for p in parts):
        raise FormatError(
            f"a well lies at row/column, both of letters and digits, not at {path!r}",
            where=where,
            fix="mend the metadata of the plate",
            rule="ngff-plate",
        )
    return parts[0], parts[1]
