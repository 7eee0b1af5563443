"""What a step is, as one hash: when it changes, what it made is made again."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
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
    return {"name": f"{module}:{f.__qualname__}", "with": plain(bound(op)), "code": code_hash(module, f.__qualname__)}


def plain(value: Any) -> Any:
    """A parameter as JSON; functions by name and code, dataclasses by field."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Length):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {
            "type": type(value).__name__,
            "code": code_hash(type(value).__module__, type(value).__qualname__),
            **fields,
        }
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
def code_hash(module: str, name: str) -> str:
    """SHA-256 over a function or class, what it uses of its own module, and the own modules it imports from.

    Code is compared as parsed, so a comment or a docstring changes nothing. A module that is
    imported counts whole, with all that it imports in turn; of the module the function stands in,
    only what the function reaches counts, so that one op of a recipe may change and leave the others.
    """
    seen: dict[str, str] = {}
    path = _source(module)
    if path is None:
        return hashlib.sha256(f"{module}:{name}".encode()).hexdigest()
    tree = _bare(ast.parse(path.read_text()))
    defined = _defined(tree)
    imported = _imported(tree)
    wanted, reached = [name.split(".")[0]], set[str]()
    while wanted:
        if (this := wanted.pop()) in reached:
            continue
        reached.add(this)
        if this in imported:
            _gather(imported[this], seen)
        for node in defined.get(this, ()):
            seen[f"{module}:{this}"] = seen.get(f"{module}:{this}", "") + _hash(node)
            wanted += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
            for inner in _imported(node).values():
                _gather(inner, seen)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _gather(module: str, seen: dict[str, str]) -> None:
    """A module and every own module that it imports, directly or not."""
    if module in seen:
        return
    seen[module], imports = _module(module)
    for name in imports:
        _gather(name, seen)


@cache
def _module(module: str) -> tuple[str, tuple[str, ...]]:
    """The hash of a module's own code, and the own modules that it imports."""
    path = _source(module)
    if path is None:
        return "no source", ()
    tree = _bare(ast.parse(path.read_text()))
    return _hash(tree), tuple(sorted(set(_imported(tree).values())))


def _hash(node: ast.AST) -> str:
    return hashlib.sha256(ast.dump(node).encode()).hexdigest()


def _source(module: str) -> Path | None:
    if module == "__main__":  # a script: its op is fingerprinted by the file it stands in
        path = getattr(sys.modules[module], "__file__", None)
        return Path(path) if path else None
    if module.split(".")[0] == PACKAGE:
        return _own(module)
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _bare(tree: ast.Module) -> ast.Module:
    """The code without its docstrings."""
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return tree


def _defined(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """What each name at the top of a module is made of."""
    out: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            out.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for n in ast.walk(target):
                    if isinstance(n, ast.Name):
                        out.setdefault(n.id, []).append(node)
    return out


def _imported(tree: ast.AST) -> dict[str, str]:
    """Own modules by the names under which a piece of code imports them, or something from them."""
    out: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                if a.name.split(".")[0] == PACKAGE and a.name != PACKAGE:
                    out[a.asname or PACKAGE] = a.name
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for a in node.names:
                below = f"{node.module}.{a.name}"
                if _is_module(below):
                    out[a.asname or a.name] = below
                elif node.module != PACKAGE:
                    out[a.asname or a.name] = node.module
    return out


def _is_module(name: str) -> bool:
    return _own(name) is not None


@cache
def _own(name: str) -> Path | None:
    """The file of a module of this package, found without importing anything."""
    base = Path(__file__).parent.parent.joinpath(*name.split(".")[1:])
    for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
        if name.split(".")[0] == PACKAGE and path.is_file():
            return path
    return None
