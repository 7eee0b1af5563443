"""The shelf: one module per data set, each holding one `recipe`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from corpuscle.errors import SettingsError

if TYPE_CHECKING:
    from corpuscle.recipe import Recipe

DEFAULT = "nuclei"


def names() -> list[str]:
    """The recipes there are."""
    return sorted(m.name for m in iter_modules(__path__))


def load(name: str) -> Recipe:
    """One recipe; a SettingsError names the others."""
    if name not in names():
        raise SettingsError(f"no recipe {name!r}", fix=f"choose one of {', '.join(names())}", rule="recipe-unknown")
    recipe: Recipe = import_module(f"{__name__}.{name}").recipe
    return recipe
