"""Where things lie in a corpus: the one module that knows."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from corpuscle.core import Graph, Image, Layer, Record, Shapes, Table

FORMAT = 1
CORPUS = "corpus.json"
RECORD = "record.json"
SPLITS = "splits.parquet"
INDEX = "index.parquet"
README = "README.md"
STAGING = ".staging"
_KEEP = 48


def slug(name: str) -> str:
    """A safe file name, unique even where case is not told apart: readable part, then a hash of the original.

    >>> slug("Plate 7_B03f02")
    'plate_7_b03f02-d442d9e2'
    >>> slug("a") == slug("A")
    False
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9._]+", "_", plain).strip("._")[:_KEEP] or "record"
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def layer_slug(name: str, fingerprint: str) -> str:
    """A layer's file name: its own if that is safe, and for what a step made, the mark of that step.

    >>> layer_slug("nuclei", ""), layer_slug("nuclei@otsu", "0123456789abcdef")
    ('nuclei', 'nuclei.otsu-01234567')
    """
    safe = re.fullmatch(r"[a-z0-9][a-z0-9_.@-]{0,60}", name)
    base = name.replace("@", ".") if safe else slug(name)
    return f"{base}-{fingerprint[:8]}" if fingerprint else base


def kind(layer: Layer) -> str:
    """What sort of layer it is, in one word."""
    match layer:
        case Image():
            return "labels" if layer.is_labels else "image"
        case Graph():
            return "graph"
        case Shapes():
            return "shapes"
        case Table():
            return "table"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths within one corpus folder; all that go into files are relative, with forward slashes."""

    root: Path

    @property
    def corpus(self) -> Path:
        """Format version, study, digest."""
        return self.root / CORPUS

    @property
    def staging(self) -> Path:
        """Where things are made ready."""
        return self.root / STAGING

    @property
    def plates(self) -> Path:
        """OME-NGFF plates."""
        return self.root / "plates"

    @property
    def records(self) -> Path:
        """One folder per record, two letters of hash above it."""
        return self.root / "records"

    @property
    def runs(self) -> Path:
        """Receipts and scores."""
        return self.root / "runs"

    def record(self, name: str) -> Path:
        """The folder of a record."""
        s = slug(name)
        return self.records / s[-8:-6] / s

    def plate(self, plate: str) -> Path:
        """The OME-NGFF plate of this name."""
        return self.plates / f"{slug(plate)}.zarr"

    def field(self, groups: Mapping[str, str]) -> Path | None:
        """Where a plate wants the image of one field; None for a record of no plate."""
        well = re.fullmatch(r"([A-Za-z]{1,2})0*([0-9]+)", groups.get("well", ""))
        if "plate" not in groups or well is None or "field" not in groups:
            return None
        field = re.sub(r"[^A-Za-z0-9]+", "", groups["field"]) or "f"
        return self.plate(groups["plate"]) / well[1].upper() / well[2] / field

    def place(self, record: Record, name: str, fingerprint: str, parent: Path | None = None) -> Path:
        """Where a layer of a record lies; `parent` is where the image lies that these labels name.

        The first image of a plate's field is the image of the plate; labels lie beneath the image
        they name; all else lies in the record's own folder.
        """
        layer, safe = record.layers[name], layer_slug(name, fingerprint)
        home = self.record(record.name)
        match kind(layer):
            case "image":
                return (self.field(record.groups) if name == primary(record) else None) or home / f"{safe}.zarr"
            case "labels":
                return parent / "labels" / safe if parent else home / f"{safe}.zarr"
            case "graph":
                return home / f"{safe}.geff"
            case _:
                return home / f"{safe}.parquet"

    def relative(self, path: Path) -> str:
        """A path as it is written into a file."""
        return PurePosixPath(path.relative_to(self.root)).as_posix()

    def inside(self, told: str) -> Path | None:
        """A path read from a file; None if it leads out of the corpus."""
        pure = PurePosixPath(told)
        if pure.is_absolute() or ".." in pure.parts or "\\" in told or "\0" in told:
            return None
        path = self.root / pure
        return path if path.resolve().is_relative_to(self.root.resolve()) else None


def primary(record: Record) -> str | None:
    """The image layer that stands for the record: the first that is not labels and was not made from another."""
    return next((n for n, x in record.layers.items() if isinstance(x, Image) and not x.is_labels), None)
