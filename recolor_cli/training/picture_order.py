"""Decide which picture each sample of a run shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recolor_cli.errors import NoInputsError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.training.config import TrainConfig


class PictureOrder:
    """The pictures of a run, in an order that depends on the seed alone.

    Each epoch has as many samples as there are pictures. Without `shares` it shows each picture
    once. With them each group gets its share of the epoch, and shows all of its pictures before it
    shows one again.

    Parameters
    ----------
    pictures : sequence of Picture
    config : TrainConfig
        Its `seed` and `shares` are used. A picture belongs to the first key that its name contains;
        one that belongs to none is never drawn.

    Raises
    ------
    NoInputsError
        If no picture belongs to a key of `shares`, or its share is less than one picture.
    """

    def __init__(self, pictures: Sequence[Picture], config: TrainConfig) -> None:
        self._seed = config.seed
        self._groups = _group(pictures, tuple(config.shares) or ("",))
        self._length = sum(map(len, self._groups))
        shares = np.array([*config.shares.values()] or [1.0])
        ends = np.rint(np.cumsum(shares) / shares.sum() * self._length).astype(np.int64)
        self._draws = np.diff(ends, prepend=0)  # of each group in an epoch
        for key, draws in zip(config.shares, self._draws, strict=False):
            if not draws:
                raise NoInputsError(
                    f"the share of {key} is less than one of {self._length} pictures",
                    "make it larger, or leave it out of `shares`",
                )
        self._epoch_order = lru_cache(maxsize=1)(self._shuffle)  # no sample goes back an epoch

    def picture_of(self, number: int) -> int:
        """Return the index of the picture that sample `number` shows."""
        epoch, position = divmod(number, self._length)
        return int(self._epoch_order(epoch)[position])

    def epoch(self) -> list[int]:
        """Return the indices of the pictures that the samples of the first epoch show."""
        return [int(index) for index in self._epoch_order(0)]

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        drawn = [
            self._draw(group, epoch * count, (epoch + 1) * count)
            for group, count in enumerate(self._draws)
        ]
        return np.random.default_rng((self._seed, epoch)).permutation(np.concatenate(drawn))

    def _draw(self, group: int, first: int, end: int) -> NDArray[np.int64]:
        """Return the draws `first` to `end` of a group, whose rounds each show all of it."""
        pictures = self._groups[group]
        rounds = range(first // len(pictures), -(-end // len(pictures)))
        shown = [
            np.random.default_rng((self._seed, group, number)).permutation(pictures)
            for number in rounds
        ]
        start = first - rounds.start * len(pictures)
        return np.concatenate([*shown, np.empty(0, np.int64)])[start : start + end - first]


def _group(pictures: Sequence[Picture], keys: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the indices of the pictures that belong to each key."""
    groups: dict[str, list[int]] = {key: [] for key in keys}
    for index, picture in enumerate(pictures):
        key = next((key for key in keys if picture.is_one_of((key,))), None)
        if key is not None:
            groups[key].append(index)
    if empty := [key for key, group in groups.items() if not group]:
        raise NoInputsError(
            f"no picture is left for {' or '.join(empty)}: each belongs to the first key that its "
            "name, with its folders, contains",
            "change `shares` in the config",
        )
    return [np.array(group, np.int64) for group in groups.values()]
