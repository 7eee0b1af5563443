"""What a step is, as one hash: when it changes, what it made is made again."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from corpuscle.blocks.step import Step, bound, function
from corpuscle.core import Length
from corpuscle.errors import StepError

LIBRARIES = ("numpy", "scipy", "scikit-image")
PACKAGE = "corpuscle"


def fingerprint(step: Step) -> str:
    """SHA-256 over the op's source and the own modules it uses, its parameters, and the key libraries.

    A closure is refused: see `function`. The answer is the same on every machine that has the
    same code and versions.
    """
    return hashlib.sha256(json.dumps(identity(step), sort_keys=True).encode()).hexdigest()


def identity(step: Step) -> dict[str, Any]:
    """What the fingerprint is taken over, in words."""
    rest = {
        f.name: plain(getattr(step, f.name)) for f in dataclasses.fields(step) if f.name not in ("op", "writes", "when")
    }
    return {
        "step": type(step).__name__,
        "op": describe(step.op),
        "when": None if step.when is None else describe(step.when),
        "libraries": versions(),
        **rest,
    }


def describe(op: Callable[..., Any]) -> dict[str, Any]:
    """An op as JSON: its name, what is bound to it, and the hash of the code behind it."""
    f = function(op)
    module = f.__module__
    return {"name": f"{module}:{f.__qualname__}", "with": plain(bound(op)), "code": code_hash(module)}


def plain(value: Any) -> Any:
    """A parameter as JSON; functions by name and code, dataclasses by field."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Length):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, "code": code_hash(type(value).__module__), **fields}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if callable(value) or isinstance(value, partial):
        return describe(value)
    raise StepError(f"a bound parameter cannot be written down: {value!r}", fix="bind numbers, strings or functions")


@cache
def versions() -> dict[str, str]:
    """The versions of the libraries whose numbers may differ from one release to the next."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


@cache
def code_hash(module: str) -> str:
    """SHA-256 over the source of a module and every own module it imports, directly or not.

    The text is compared as parsed code, so a comment or a docstring changes nothing.
    """
    seen: dict[str, str] = {}
    _gather(module, seen)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _gather(module: str, seen: dict[str, str]) -> None:
    if module in seen:
        return
    path = _source(module)
    if path is None:
        seen[module] = "no source"
        return
    tree = ast.parse(path.read_text())
    seen[module] = hashlib.sha256(ast.dump(_bare(tree)).encode()).hexdigest()
    for name in _own_imports(tree):
        _gather(name, seen)


def _source(module: str) -> Path | None:
    if module == "__main__":  # a script: its op is fingerprinted by the file it stands in
        path = getattr(sys.modules[module], "__file__", None)
        return Path(path) if path else None
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _bare(tree: ast.Module) -> ast.Module:
    """The code without its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _own_imports(tree: ast.Module) -> Iterable[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for a in node.names:
                below = f"{node.module}.{a.name}"
                found.add(below if _is_module(below) else node.module)
    return sorted(found - {PACKAGE})


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
