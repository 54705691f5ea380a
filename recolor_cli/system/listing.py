"""Names of the objects on a store, of which millions take little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from recolor_cli.system.compact import CompactList, HashedSet


class Listing:
    """The objects in a folder of a store, by their paths within it.

    Parameters
    ----------
    objects : iterable of (str, int)
        Each with its size in bytes.
    """

    def __init__(self, objects: Iterable[tuple[str, int]]) -> None:
        self._empty = HashedSet()
        self._names = CompactList(self._noted(objects))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @cached_property
    def written(self) -> HashedSet:
        """The names of the objects that are not empty."""
        return HashedSet(name for name in self._names if name not in self._empty)

    def _noted(self, objects: Iterable[tuple[str, int]]) -> Iterator[str]:
        for name, size in objects:
            if not size:
                self._empty.add(name)
            yield name
