"""Layers that are opened when somebody asks for one: a record names many, and a step reads few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class Opened(Mapping[str, V], Generic[V]):
    """Names at once, values at need; each is opened once.

    >>> layers = Opened(("a", "b"), str.upper)
    >>> list(layers), layers["a"], "c" in layers.plus("c", "x"), layers.plus("b", "x")["b"]
    (['a', 'b'], 'A', True, 'x')
    """

    def __init__(self, names: tuple[str, ...], opener: Callable[[str], V], held: Mapping[str, V] | None = None) -> None:
        self._names = names
        self._opener = opener
        self._held = dict(held or {})

    def __getitem__(self, name: str) -> V:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._held:
            self._held[name] = self._opener(name)
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def plus(self, name: str, value: V) -> Opened[V]:
        """These and one more, or another in its place; nothing is opened for it."""
        names = self._names if name in self._names else (*self._names, name)
        return Opened(names, self._opener, {**self._held, name: value})
