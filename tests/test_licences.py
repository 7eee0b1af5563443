from __future__ import annotations

import ast
import sys
import tomllib
from email.message import Message
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tools import licences
from tools.licences import Kind, closure, expression, findings, judge, page, words


class Stub:
    """A distribution of which only the metadata is known."""

    def __init__(self, name: str, **fields: str | list[str]) -> None:
        self.metadata = Message()
        self.metadata["Name"] = name
        for key, value in fields.items():
            for v in [value] if isinstance(value, str) else value:
                self.metadata[key.replace("_", "-")] = v
        self.requires: list[str] = []


def kind(**fields: str | list[str]) -> Kind:
    return judge(Stub("some", **fields))[0]  # type: ignore[arg-type]


def test_what_corpuscle_needs_may_be_used_by_anybody() -> None:
    base, extras = licences.ours()
    assert set(licences.SHIPPED) <= set(extras)
    assert [str(f) for f in findings(base, extras)] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MIT", Kind.PERMISSIVE),
        ("mit", Kind.PERMISSIVE),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", Kind.PERMISSIVE),
        ("GPL-3.0-or-later", Kind.STRONG),
        ("AGPL-3.0-only", Kind.STRONG),
        ("LGPL-2.1-or-later", Kind.LIBRARY),
        ("MIT OR GPL-2.0-only", Kind.PERMISSIVE),
        ("MIT AND GPL-2.0-only", Kind.STRONG),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", Kind.PERMISSIVE),
        ("BSD-3-Clause AND GPL-3.0-with-GCC-exception", Kind.PERMISSIVE),
        ("GPL-2.0-only WITH Unheard-exception", Kind.STRONG),
        ("(MIT AND (LGPL-3.0-only OR GPL-3.0-only))", Kind.LIBRARY),
        ("LicenseRef-Ours", Kind.UNCLEAR),
        ("MIT GPL-3.0-only", Kind.UNCLEAR),
        ("", Kind.UNCLEAR),
        ("MIT AND", Kind.UNCLEAR),
    ],
)
def test_expressions(text: str, wanted: Kind) -> None:
    assert expression(text) == wanted


def test_words() -> None:
    assert words("GNU Affero General Public License v3") == Kind.STRONG
    assert words("GNU General Public License v2 (GPLv2)") == Kind.STRONG
    assert words("GNU Library or Lesser General Public License (LGPL)") == Kind.LIBRARY
    assert words("Apache Software License") == Kind.PERMISSIVE


def test_the_expression_goes_before_classifiers_and_these_before_the_field() -> None:
    gpl = "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"
    assert kind(License_Expression="MIT", Classifier=gpl) == Kind.PERMISSIVE
    assert kind(Classifier=gpl, License="MIT") == Kind.STRONG
    assert kind(Classifier=[gpl, "License :: OSI Approved :: MIT License"]) == Kind.STRONG
    assert kind(License="GPLv3") == Kind.STRONG
    assert kind(License="MIT") == Kind.PERMISSIVE
    assert kind(License="see the file") == Kind.UNCLEAR
    assert kind() == Kind.UNCLEAR
    assert kind(Classifier="License :: OSI Approved") == Kind.UNCLEAR


def test_a_bundled_fortran_library_does_not_trip_the_gate_and_another_gpl_does() -> None:
    bsd = "Redistribution and use in source and binary forms, with or without modification, are permitted\n" * 3
    gpl = "GNU GENERAL PUBLIC LICENSE Version 3\n"
    assert page(bsd, named=False) == Kind.PERMISSIVE
    assert page(bsd + gpl + "GCC RUNTIME LIBRARY EXCEPTION\n", named=True) == Kind.PERMISSIVE
    assert page(bsd + gpl, named=True) == Kind.UNCLEAR
    assert page(gpl * 9, named=False) == Kind.STRONG


def test_the_closure_goes_through_extras_and_markers() -> None:
    names = {d.metadata["Name"].lower() for d, _ in closure(["zarr>=3", "numpy; python_version < '3'"], because="x")}
    assert {"zarr", "numcodecs", "numpy", "typing_extensions"} <= names
    assert "pytest" not in names


def test_lgpl_is_for_extras_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "LOOKED_UP", {"rich": ("LGPL-3.0-only", "")})
    assert [f.name for f in findings(["rich"], {"x": ["rich"]})] == ["rich"]
    assert findings([], {"x": ["rich"]}) == []
    monkeypatch.setattr(licences, "LOOKED_UP", {"rich": ("GPL-3.0-only", "")})
    assert [f.kind for f in findings([], {"x": ["rich"]})] == [Kind.STRONG]


def test_what_is_asked_for_is_pinned_somewhere() -> None:
    """A dependency without a line in constraints.txt would be whatever was released last."""
    root = Path(licences.PROJECT).parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["report"], *extras["train"]]
    wanted += [line for group in groups.values() for line in group]
    pinned = {
        canonicalize_name(Requirement(line).name): Requirement(line)
        for line in (root / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    for line in wanted:
        need = Requirement(line)
        pin = pinned.get(canonicalize_name(need.name))
        assert pin is not None, f"{need.name} has no line in constraints.txt"
        version = next(iter(pin.specifier)).version
        assert need.specifier.contains(version), f"{pin} is not {need}"


def test_what_is_imported_is_asked_for() -> None:
    """A library that came along with another one may be gone with its next release."""
    root = Path(licences.PROJECT).parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(r for x in project["optional-dependencies"].values() for r in x)]
    asked = {canonicalize_name(Requirement(line).name) for line in lines}
    found: set[str] = set()
    for path in (root / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found |= {n.split(".")[0] for n in names}
    of = packages_distributions()
    ours = {*sys.stdlib_module_names, "corpuscle"}
    missing = {m for m in found - ours if not {canonicalize_name(d) for d in of.get(m, [m])} & asked}
    assert missing == set()
