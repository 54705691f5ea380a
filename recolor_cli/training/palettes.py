r"""Make the bank of palettes that comes with the program from posters.

    python -m recolor_cli.training.palettes recolor_cli/guidance/palette_bank.npz \
        --posters train-*.tar --period 1930s=1930s.tar ... --period modern=modern.tar

The included bank was made of 9,000 posters of the training data, and of 1,200 to 2,300 posters of
each period. The number of a film at IMDb tells its period, roughly. Some posters are of later
editions.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.evaluation.pictures import Picture, load_pictures, spread
from recolor_cli.guidance.palette_bank import CLUSTERS, PERIOD
from recolor_cli.guidance.palette_matching import LIKE_COLORS, Palette, blur_matrix
from recolor_cli.system.files import write_atomic
from recolor_cli.types import FloatArray

_CLUSTERS = 64
_SIDE = 64  # px, the longest side of the copy whose colors are counted
_EMPHASIS = 2.0  # power of what a period has more of than the others
_MIN_SHARE = 1e-4  # of a bin in the mean of the periods, against noise in what is rare
_ATTEMPTS, _ITERATIONS = 4, 60  # of k-means


def make_bank(posters: Sequence[Picture], periods: dict[str, Sequence[Picture]]) -> bytes:
    """Return the file of a bank.

    Parameters
    ----------
    posters : sequence of Picture
        Their histograms are clustered by k-means on the square roots of the blurred histograms,
        whose Euclidean distance is Hellinger's. A cluster is the mean histogram of its members; the
        largest comes first.
    periods : dict of sequences of Picture, by name
        Of each, the mean histogram is multiplied by the square of its ratio to the mean of all
        periods. The plain means of two periods look alike, because most colors are common to both.
    """
    bins = AbBins.srgb()
    stored = {CLUSTERS: _cluster(_histograms(posters, bins), bins)}
    means = {name: _histograms(found, bins).mean(axis=0) for name, found in periods.items()}
    blur = blur_matrix(bins, LIKE_COLORS)
    blurred = {name: blur @ mean for name, mean in means.items()}
    common = np.mean([*blurred.values()], axis=0) + _MIN_SHARE
    for name, mean in blurred.items():
        typical = mean * (mean / common) ** _EMPHASIS
        stored[PERIOD.format(name)] = typical / typical.sum()
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: shares.astype(np.float16) for name, shares in stored.items()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _histograms(pictures: Sequence[Picture], bins: AbBins) -> FloatArray:
    """Return the share of each bin in each picture: float32 (N, Q)."""
    return np.stack(
        [Palette.of_picture(shrink_to_side(p.rgb(), _SIDE)).histogram(bins) for p in pictures]
    )


def _cluster(histograms: FloatArray, bins: AbBins) -> FloatArray:
    roots = np.sqrt(histograms @ blur_matrix(bins, LIKE_COLORS).T)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ITERATIONS, 1e-5)
    labels = np.zeros((len(roots), 1), np.int32)
    _, labels, _ = cv2.kmeans(  # type: ignore[assignment]
        roots.astype(np.float32), _CLUSTERS, labels, criteria, _ATTEMPTS, cv2.KMEANS_PP_CENTERS
    )
    members = np.bincount(labels[:, 0], minlength=_CLUSTERS)
    means = [histograms[labels[:, 0] == number].mean(axis=0) for number in range(_CLUSTERS)]
    return np.stack(means)[np.argsort(-members)]


def main() -> None:
    """Read the command line, and write the bank."""
    parser = argparse.ArgumentParser(description="Make the bank of palettes from posters.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--posters", nargs="+", required=True, metavar="SOURCE")
    parser.add_argument("--only", default="", help="part of the names of the posters")
    parser.add_argument("--most", type=int, default=9000, help="of the posters")
    parser.add_argument("--period", action="append", default=[], metavar="NAME=SOURCE")
    arguments = parser.parse_args()
    posters = [p for p in load_pictures(arguments.posters) if arguments.only in p.name]
    periods = dict(period.split("=", 1) for period in arguments.period)
    bank = make_bank(
        spread(posters, arguments.most),
        {name: load_pictures([source]) for name, source in periods.items()},
    )
    write_atomic(arguments.out, bank)


if __name__ == "__main__":
    main()
