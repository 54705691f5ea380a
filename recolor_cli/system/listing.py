"""Names of the objects on a store, of which millions take little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from recolor_cli.system.compact import CompactList, HashedSet


class Listing:
    """The objects in a folder of a store, by their paths within it.

    Parameters
    ----------
    objects : iterable of (str, bool)
        Each with whether it is empty.
    """

    def __init__(self, objects: Iterable[tuple[str, bool]]) -> None:
        self._empty = HashedSet()
        self._names = CompactList(self._noted(objects))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @cached_property
    def written(self) -> HashedSet:
        """The names of the objects that are not empty."""
        return HashedSet(name for name in self._names if name not in self._empty)

    def _noted(self, objects: Iterable[tuple[str, bool]]) -> Iterator[str]:
        for name, is_empty in objects:
            if is_empty:
                self._empty.add(name)
            yield name
