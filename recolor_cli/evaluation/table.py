"""One table: models, and what they must beat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recolor_cli.errors import InputError, ModelError
from recolor_cli.evaluation.metrics import Accumulator, Figures
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.image_io import decode
from recolor_cli.lab import rgb_to_lab
from recolor_cli.manifest import Manifest
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer
from recolor_cli.types import ColorNetwork, FloatArray, RecolorOptions


class ConstantColorNetwork:
    """A network that gives every pixel the same color: the baselines, and a fake for tests.

    Parameters
    ----------
    manifest : Manifest
    ab : float32 array, shape (2,), CIELAB units
    """

    device = "cpu"

    def __init__(self, manifest: Manifest, ab: FloatArray) -> None:
        self.manifest = manifest
        self._ab = ab

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return `ab` everywhere, at a quarter of the input's size."""
        count, _, height, width = lightness.shape
        shape = (count, 2, height // 4, width // 4)
        return np.broadcast_to(self._ab[None, :, None, None], shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    name: str
    figures: Figures
    gray_l2: float  # L2 of the gray row
    seconds: float  # a picture, recoloring alone

    @staticmethod
    def columns() -> tuple[str, ...]:
        """Return the heads of `cells`."""
        return (
            "model", "pictures", "L2", "L2/gray", "AuC", "balanced AuC", "1-class", "2-class",
            "chroma", "classes", "s/picture",
        )  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """Return the figures as text."""
        f = self.figures
        return (
            self.name,
            str(f.pictures),
            f"{f.l2:.1f}",
            f"{f.l2 / self.gray_l2:.3f}",
            f"{f.auc:.4f}",
            f"{f.balanced_auc:.4f}",
            f"{f.one_class:.4f}",
            f"{f.two_class:.4f}",
            f"{f.chroma:.3f}",
            f"{f.classes:.3f}",
            f"{self.seconds:.3f}",
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "model": self.name,
            **asdict(self.figures),
            "l2_over_gray": self.figures.l2 / self.gray_l2,
            "seconds": self.seconds,
        }


def evaluate(
    pictures: Sequence[Picture],
    networks: Mapping[str, ColorNetwork],
    options: RecolorOptions,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Recolor pictures with each network and measure the results against the pictures.

    Parameters
    ----------
    pictures : sequence of Picture
        Color pictures, at least one.
    networks : mapping of str to ColorNetwork
        The prior-mean baseline is taken from the prior of the first that has one.
    options : RecolorOptions
    advance : callable
        Called after each picture and network.

    Returns
    -------
    list of Row
        Gray, the prior's mean, then the networks.

    Raises
    ------
    InputError
        If a picture cannot be decoded; it is named.
    ModelError
        If no network has a prior.
    """
    priors = [network.manifest for network in networks.values() if network.manifest.prior]
    if not priors:
        raise ModelError("none of the models has a prior for the baseline", "add -m poster")
    plain = RecolorOptions()
    baselines = {
        "gray": Recolorizer(ConstantColorNetwork(priors[0], np.zeros(2, np.float32)), plain),
        "prior mean": Recolorizer(ConstantColorNetwork(priors[0], priors[0].prior_mean), plain),
    }
    rows = baselines | {name: Recolorizer(net, options) for name, net in networks.items()}
    accumulators = {name: Accumulator() for name in rows}
    seconds = dict.fromkeys(rows, 0.0)
    for picture in pictures:
        try:
            rgb = decode(picture.data).rgb
        except InputError as error:
            raise InputError(f"{picture.name}: {error.message}", error.hint) from error
        if min(rgb.shape[:2]) < MIN_SIDE:
            raise InputError(f"{picture.name}: too small to measure on", "leave it out")
        truth = rgb_to_lab(rgb)[..., 1:]
        for name, recolorizer in rows.items():
            started = time.perf_counter()
            result = recolorizer.recolor(rgb)
            seconds[name] += time.perf_counter() - started
            accumulators[name].add(truth, rgb_to_lab(result)[..., 1:])
            if name not in baselines:
                advance()
    gray = accumulators["gray"].figures()
    if math.isnan(gray.one_class):
        raise InputError(
            "all pictures are gray: there is no color to measure against", "use others"
        )
    gray_l2 = gray.l2
    return [
        Row(name, accumulator.figures(), gray_l2, seconds[name] / len(pictures))
        for name, accumulator in accumulators.items()
    ]
