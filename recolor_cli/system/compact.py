"""Collections of which millions of entries take little memory."""

from __future__ import annotations

import heapq
import pickle
import zlib
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

_T = TypeVar("_T")
_Sortable = TypeVar("_Sortable", bound=tuple[Any, ...] | str)

_BLOCK = 1000  # items that are compressed together
_RUN = 50_000  # items that are sorted in memory


class CompactList(Sequence[_T]):
    """A list that grows at its end, and whose items are compressed.

    Items that are like their neighbours take some twenty bytes. To read them in their order takes
    two microseconds each; to read one by its index takes as long as for a thousand.

    Parameters
    ----------
    items : iterable
        Each must be such that it can be pickled.
    """

    def __init__(self, items: Iterable[_T] = ()) -> None:
        self._blocks: list[bytes] = []
        self._last: list[_T] = []
        for item in items:
            self.append(item)

    def append(self, item: _T) -> None:
        """Add an item to the end."""
        self._last.append(item)
        if len(self._last) == _BLOCK:
            self._blocks.append(zlib.compress(pickle.dumps(self._last), level=1))
            self._last = []

    def __len__(self) -> int:
        return _BLOCK * len(self._blocks) + len(self._last)

    def __iter__(self) -> Iterator[_T]:
        for number in range(len(self._blocks)):
            yield from self._block(number)
        yield from self._last

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __getitem__(self, index: int | slice) -> _T | list[_T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        return self._block(place // _BLOCK)[place % _BLOCK]

    def _block(self, number: int) -> list[_T]:
        if number == len(self._blocks):
            return self._last
        block: list[_T] = pickle.loads(zlib.decompress(self._blocks[number]))
        return block


def sorted_compactly(items: Iterable[_Sortable]) -> Iterator[_Sortable]:
    """Yield items in their order, of which few are in memory at a time."""
    unsorted, runs = iter(items), []
    while run := list(islice(unsorted, _RUN)):
        runs.append(CompactList(sorted(run)))
    return heapq.merge(*runs)


class HashedSet:
    """A set that keeps the hashes of its members alone, in 11 to 21 bytes each.

    What is not in it is found by chance in one of 10^12 cases if there are ten million.
    """

    def __init__(self, members: Iterable[Hashable] = ()) -> None:
        # A free place holds 0, so that a hash of 0 is kept as 1.
        self._hashes = array("q", bytes(8 * 8))
        self._count = 0
        for member in members:
            self.add(member)

    def add(self, member: Hashable) -> None:
        """Add a member, if it is not in the set."""
        self._insert(hash(member) or 1)

    def __contains__(self, member: object) -> bool:
        return self._count > 0 and self._hashes[self._place(hash(member) or 1)] != 0

    def _place(self, hashed: int) -> int:
        """Return the place of a hash, or the free one where it belongs."""
        hashes = self._hashes
        last = len(hashes) - 1  # their number is a power of two
        place = hashed & last
        while (found := hashes[place]) and found != hashed:
            place = (place + 1) & last
        return place

    def _insert(self, hashed: int) -> int:
        """Return the place of a hash, which is added if it is new."""
        place = self._place(hashed)
        if self._hashes[place] == 0:
            self._hashes[place] = hashed
            self._count += 1
            if 4 * self._count > 3 * len(self._hashes):
                self._grow()
                place = self._place(hashed)
        return place

    def _grow(self) -> None:
        earlier = self._hashes
        self._hashes = array("q", bytes(2 * 8 * len(earlier)))
        for hashed in filter(None, earlier):
            self._hashes[self._place(hashed)] = hashed


class HashedNumbers(HashedSet):
    """A dictionary of numbers below 2^32 that keeps the hashes of its keys, in 16 to 32 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = array("I", bytes(4 * len(self._hashes)))

    def setdefault(self, key: Hashable, number: int) -> int:
        """Return the number of a key, which is the given one if it has none yet."""
        hashed = hash(key) or 1
        place = self._place(hashed)
        if not self._hashes[place]:
            place = self._insert(hashed)  # which may make room, so it comes first
            self._numbers[place] = number
        return self._numbers[place]

    def get(self, key: Hashable, default: int) -> int:
        """Return the number of a key, or the default."""
        place = self._place(hash(key) or 1)
        return self._numbers[place] if self._hashes[place] else default

    def __getitem__(self, key: Hashable) -> int:
        """Return the number of a key, which must have one."""
        return self._numbers[self._place(hash(key) or 1)]

    def _grow(self) -> None:
        hashes, numbers = self._hashes, self._numbers
        super()._grow()
        self._numbers = array("I", bytes(4 * len(self._hashes)))
        for hashed, number in zip(hashes, numbers, strict=True):
            if hashed:
                self._numbers[self._place(hashed)] = number
