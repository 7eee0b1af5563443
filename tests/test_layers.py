"""Who may import whom: our own packages in one direction, heavy libraries on their own shelf."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "corpuscle"

# Lowest first. A package imports from itself and from strictly lower rows, never from a neighbour in its own.
ROWS = (
    ("errors",),
    ("core",),
    ("kernels",),
    ("ops", "formats", "metrics"),
    ("store",),
    ("blocks",),
    ("corpus", "worlds"),
    ("annotate", "train", "bench"),
    ("report", "publish", "recipe"),
    ("recipes",),
    ("serve",),
    ("cli",),
)
FORBIDDEN = {("serve", "recipes"), ("serve", "train")}
DOORS = ("__init__", "__main__")  # of the package itself: they may lead anywhere, and nobody imports from them
FACTS = {"__version__"}  # what anybody may take from the package itself

SHELVES: dict[str, tuple[str, ...]] = {
    "torch": ("train",),
    "dask": ("blocks/engines",),
    "distributed": ("blocks/engines",),
    "fastapi": ("serve",),
    "uvicorn": ("serve",),
    "neuroglancer": ("serve",),
    "typer": ("cli",),
    "rich": ("cli",),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "zarr": ("store", "formats"),
    "tensorstore": ("store", "formats"),
    "numcodecs": ("store", "formats"),
    "pyarrow": ("store", "formats"),
    "tifffile": ("formats",),
    "PIL": ("formats",),
    "imagecodecs": ("formats", "store"),
    "numba": ("kernels",),
    "scipy": ("ops", "metrics", "corpus", "worlds", "blocks"),
    "skimage": ("ops", "metrics", "corpus", "worlds", "blocks"),
    "napari": ("corpus",),
    # Not even optional: pandas and their like would decide what a table is.
    "pandas": (),
    "xarray": (),
    "geff": (),
    "dask_image": (),
    "torchvision": (),
}
# Readers that number objects do so with these, but only once they have such a file in hand.
AT_USE = {("formats", "scipy"), ("formats", "skimage")}


@dataclass(frozen=True)
class Import:
    """One imported module: by which file, at which line, and whether only inside a function."""

    path: Path
    line: int
    module: str
    inside: bool

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(SRC).as_posix()}:{self.line} imports {self.module}"


def imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    inside = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(path, node.lineno, name.name, id(node) in inside)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import; say where it is from"
            for name in node.names:
                yield Import(path, node.lineno, f"{node.module}.{name.name}", id(node) in inside)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            # A name put together at run time belongs to a table of the package's own modules.
            match node.args:
                case [ast.Constant(value=str(module)), *_]:
                    yield Import(path, node.lineno, module, id(node) in inside)


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def package(path: Path) -> str:
    """The package below ``corpuscle`` that a file belongs to; for a file at the top, its own name."""
    return path.relative_to(SRC).with_suffix("").parts[0]


def row(name: str) -> int:
    return next(i for i, names in enumerate(ROWS) if name in names)


FILES = sorted(SRC.rglob("*.py"))
FOUND = [i for p in FILES for i in imports(p)]


def test_every_package_has_its_row() -> None:
    known = {name for names in ROWS for name in names} | set(DOORS)
    assert {package(p) for p in FILES} <= known


def test_imports_lead_down() -> None:
    wrong = []
    for i in FOUND:
        parts = i.module.split(".")
        mine = package(i.path)
        if parts[0] != "corpuscle" or mine in DOORS or parts[1:2] == [mine]:
            continue
        if len(parts) < 2 or parts[1] in FACTS:
            continue
        if (SRC / parts[1]).is_dir() or (SRC / f"{parts[1]}.py").is_file():
            if row(parts[1]) >= row(mine) or (mine, parts[1]) in FORBIDDEN:
                wrong.append(i.place)
        else:
            wrong.append(i.place)
    assert not wrong


def test_heavy_libraries_stay_on_their_shelf() -> None:
    wrong = []
    for i in FOUND:
        library = i.module.split(".")[0]
        shelves = SHELVES.get(library)
        if i.inside and (package(i.path), library) in AT_USE:
            continue
        where = i.path.relative_to(SRC).as_posix()
        if shelves is not None and not any(where.startswith(f"{s}/") for s in shelves):
            wrong.append(i.place)
    assert not wrong


def test_the_viewer_is_imported_where_it_is_opened() -> None:
    assert [i.place for i in FOUND if i.module.split(".")[0] in ("napari", "torch") and not i.inside
            and package(i.path) != "train"] == []  # fmt: skip


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=package)
def test_a_package_opens_without_its_heavy_libraries(path: Path) -> None:
    """The command line answers in a fifth of a second, which numpy alone would take."""
    light = path.parent.name == "core"  # core is what it is by numpy
    heavy = [i.place for i in imports(path) if not i.inside and i.module.split(".")[0] in {*SHELVES, "numpy"}]
    assert light or not heavy


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "base", "misc", "helpers", "tools"}
    assert [p for p in FILES if p.stem in drawers or p.parent.name in drawers] == []
