"""One table: models, and what they must beat."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from recolor_cli.color.lab import lightness_to_gray, rgb_to_lightness
from recolor_cli.color.resize import shrink_to_side
from recolor_cli.errors import InputError
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.frechet import ENCODER, Encoder, FeatureSet
from recolor_cli.evaluation.metrics import GLOSSARY, Accumulator, Figures
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.model.manifest import Manifest
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer
from recolor_cli.types import FloatArray, RgbImage

GRAY, PRIOR_MEAN = "gray", "prior mean"  # the baselines' names
_AGED_SIDE = 256  # px: wear has the size that a network sees, however large the scan is
_GLOSSARY = GLOSSARY | {
    "l2_over_gray": "L2 over that of the gray column",
    "frechet": f"Frechet distance between results and truths, of Gaussians over the 320 averaged "
    f"features of an {ENCODER} with ImageNet weights; not comparable to any published FID",
    "seconds": "of recoloring a decoded picture, measuring left out",
}
# Key, title and format, in the order of the table.
_LINES = (
    ("l2", "L2", ".1f"),
    ("l2_over_gray", "L2 / gray", ".3f"),
    ("l2_padded", "L2 with padding", ".1f"),
    ("auc", "AuC", ".4f"),
    ("balanced_auc", "balanced AuC", ".4f"),
    ("zero_class", "0-class", ".4f"),
    ("one_class", "1-class", ".4f"),
    ("two_class", "2-class", ".4f"),
    ("classes", "classes", ".1f"),
    ("class_ratio", "classes / truth", ".3f"),
    ("chroma_ratio", "chroma / truth", ".3f"),
    ("ciede2000", "CIEDE2000", ".2f"),
    ("psnr", "PSNR, dB", ".2f"),
    ("colorfulness", "colorfulness (abs)", ".1f"),
    ("delta_cf_of_means", "delta CF of means (abs)", ".2f"),
    ("delta_cf_mean", "mean delta CF (abs)", ".2f"),
    ("frechet", f"Frechet, {ENCODER}", ".1f"),
    ("seconds", "seconds a picture", ".3f"),
)


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
class Entry:
    """What was measured of one model, or of a baseline."""

    name: str
    figures: Figures
    gray_l2: float  # L2 of the gray baseline
    frechet: float
    seconds: float  # a picture
    differences: tuple[float, ...]  # CIEDE2000 of each picture, in their order

    def values(self) -> dict[str, float]:
        """Return the figures by their names in the glossary."""
        return {
            **asdict(self.figures),
            "l2_over_gray": self.figures.l2 / self.gray_l2,
            "frechet": self.frechet,
            "seconds": self.seconds,
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what could not be measured is None."""
        values = {k: None if math.isnan(v) else v for k, v in self.values().items()}
        return {"model": self.name, **values}


@dataclass(frozen=True, slots=True)
class Table:
    """A line a figure, a column a model: many figures, few models.

    Parameters
    ----------
    entries : tuple of Entry
        Gray, the prior's mean, then the models.
    legacy_mask : bool
        Show the class accuracies as [Meistrenko]'s code takes them.
    conditions : str
        What was measured on, and how: for the heading.
    """

    entries: tuple[Entry, ...]
    legacy_mask: bool
    conditions: str

    def columns(self) -> tuple[str, ...]:
        """Return the heads of `rows`."""
        return ("", "truth", *(entry.name for entry in self.entries))

    def rows(self) -> list[tuple[str, ...]]:
        """Return the figures as text; the truth's own where they say something."""
        values = [entry.values() for entry in self.entries]
        truth = {
            "classes": self.entries[0].figures.true_classes,
            "colorfulness": self.entries[0].figures.true_colorfulness,
        }
        rows = []
        for key, title, form in self._lines():
            own = format(truth[key], form) if key in truth else ""
            rows.append((title, own, *(format(v[key], form) for v in values)))
        return rows

    def to_markdown(self) -> str:
        """Return the table and what its lines mean, as a document."""
        head = self.columns()
        lines = [f"# Evaluation\n\n{self.conditions}\n"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in head) + " |")
        lines.append("|---|" + "---:|" * (len(head) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows()]
        lines.append("\n## What the lines mean\n")
        lines += [f"- **{title}**: {_GLOSSARY[key]}" for key, title, _ in self._lines()]
        lines.append("\nReferences: the docstring of `recolor_cli/evaluation/metrics.py`.")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return all figures and their definitions as a JSON document."""
        document = {
            "conditions": self.conditions,
            "entries": [entry.to_json() for entry in self.entries],
            "definitions": _GLOSSARY,
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _lines(self) -> list[tuple[str, str, str]]:
        return [
            (f"legacy_{key}", f"{title}, legacy mask", form)
            if self.legacy_mask and title.endswith("-class")
            else (key, title, form)
            for key, title, form in _LINES
        ]


def evaluate(
    pictures: Sequence[Picture],
    networks: Mapping[str, ColorNetwork],
    baseline: Manifest,
    options: RecolorOptions,
    aged: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Entry, ...]:
    """Recolor pictures with each network and measure the results against the pictures.

    Parameters
    ----------
    pictures : sequence of Picture
        Color pictures, at least one.
    networks : mapping of str to ColorNetwork
        By the names that the entries get.
    baseline : Manifest
        Of a model with a prior, whose mean is one baseline.
    options : RecolorOptions
    aged : bool
        Show the networks the pictures as old prints, worn the same at each call (`aging.age`). The
        color that they give is put on the clean picture, so that it alone makes the difference.
    advance : callable
        Called after each picture.

    Returns
    -------
    tuple of Entry
        Gray, the prior's mean, then the networks.

    Raises
    ------
    InputError
        If a picture cannot be decoded (it is named), or all are gray.
    """
    baseline = replace(baseline, strength=1.0)  # what a model was given on top is its own
    gray_network = ConstantColorNetwork(baseline, np.zeros(2, np.float32))
    recolorizers = {
        GRAY: Recolorizer(gray_network),
        PRIOR_MEAN: Recolorizer(ConstantColorNetwork(baseline, baseline.prior_mean)),
    }
    recolorizers |= {name: Recolorizer(net, options) for name, net in networks.items()}
    accumulators = {name: Accumulator() for name in recolorizers}
    features = {name: FeatureSet() for name in recolorizers}
    true_features = FeatureSet()
    seconds = dict.fromkeys(recolorizers, 0.0)
    encoder = Encoder()
    for number, picture in enumerate(pictures):
        rgb = color_picture(picture)
        shown = aged_picture(rgb, number) if aged else rgb
        true_features.rows.append(encoder.features(rgb))
        for name, recolorizer in recolorizers.items():
            started = time.perf_counter()
            result = recolorizer.paint(rgb, recolorizer.predict(shown))
            seconds[name] += time.perf_counter() - started
            accumulators[name].add(rgb, result)
            features[name].rows.append(encoder.features(result))
        advance()
    gray = accumulators[GRAY].figures()
    if math.isnan(gray.one_class):
        raise InputError(
            "all pictures are gray: there is no color to measure against", "use others"
        )
    return tuple(
        Entry(
            name,
            accumulator.figures(),
            gray.l2,
            features[name].distance_to(true_features),
            seconds[name] / len(pictures),
            tuple(picture.ciede2000 for picture in accumulator.per_picture),
        )
        for name, accumulator in accumulators.items()
    )


def color_picture(picture: Picture) -> RgbImage:
    """Decode a picture to measure on: uint8 (H, W, 3).

    Raises
    ------
    InputError
        If it cannot be decoded, or is too small; it is named.
    """
    rgb = picture.rgb()
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise InputError(f"{picture.name}: too small to measure on", "leave it out")
    return rgb


def aged_picture(rgb: RgbImage, number: int) -> RgbImage:
    """Return a small gray copy as an old print has it; its number decides how worn it is."""
    small = shrink_to_side(rgb, _AGED_SIDE, MIN_SIDE)
    return lightness_to_gray(age(rgb_to_lightness(small), np.random.default_rng(number)))
