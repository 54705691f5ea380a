"""One part of a run that several machines share: the pictures whose name has a certain hash."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from recolor_cli.errors import UsageError

_HASH_SIZE = 8  # bytes


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts that are about equal, have no name in common, and hold all names.

    Parameters
    ----------
    number : int
        1..count.
    count : int
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as ``3/20`` means.

        Raises
        ------
        UsageError
            If it means none.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                f"--shard {text} is no part of a run",
                "the third of 20 parts is 3/20, the first 1/20",
            )
        return cls(number, count)

    def holds(self, name: str) -> bool:
        """Tell whether a name falls into this shard; the same on all machines and at all times.

        Parameters
        ----------
        name : str
            A path with slashes. File systems that store accents otherwise make no difference.
        """
        data = unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=_HASH_SIZE).digest()
        return int.from_bytes(digest, "big") % self.count == self.number - 1
