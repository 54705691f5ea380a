"""Tell the optional address after --cluster from the first input."""

from __future__ import annotations

from collections.abc import Sequence

from recolor_cli.cluster.address import THIS_MACHINE, is_cluster_address

_OPTION = "--cluster"


def with_cluster_address(args: Sequence[str]) -> list[str]:
    """Return a command line in which ``--cluster`` always has a value.

    What follows it is its value only if it has the form of an address, so that the option may stand
    before the inputs.

    >>> with_cluster_address(["--cluster", "posters/"])
    ['--cluster=local', 'posters/']
    >>> with_cluster_address(["--cluster", "10.0.0.1:6379", "posters/"])
    ['--cluster=10.0.0.1:6379', 'posters/']
    """
    rest = list(args)
    words: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*words, word, *rest]
        if word == _OPTION:
            follows = rest and is_cluster_address(rest[0])
            word = f"{_OPTION}={rest.pop(0) if follows else THIS_MACHINE}"
        words.append(word)
    return words
