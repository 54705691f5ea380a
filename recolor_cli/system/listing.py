"""Names of the objects on a store, of which millions take little memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise


class HashedNames:
    """A set of names that takes 8 bytes for each, because it keeps their hashes alone.

    A name that is not in it is found by chance in one of 10^12 cases if there are ten million.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = array("q", sorted(map(hash, names)))

    def __contains__(self, name: str) -> bool:
        wanted = hash(name)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


class Listing:
    """The objects in a folder of a store, by their paths within it.

    A name takes its bytes and 16 more, where a list of strings would take 60 more.

    Parameters
    ----------
    objects : iterable of (str, int)
        Each with its size in bytes.

    Attributes
    ----------
    written : HashedNames
        The objects that are not empty.
    """

    def __init__(self, objects: Iterable[tuple[str, int]]) -> None:
        self._text = bytearray()
        self._ends = array("q", [0])
        self.written = HashedNames(name for name, size in self._noted(objects) if size)

    def __iter__(self) -> Iterator[str]:
        for start, end in pairwise(self._ends):
            yield self._text[start:end].decode(errors="surrogatepass")

    def _noted(self, objects: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        for name, size in objects:
            self._text += name.encode(errors="surrogatepass")
            self._ends.append(len(self._text))
            yield name, size
