"""Measure models on color pictures, beside two baselines that they must beat."""

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
from recolor_cli.evaluation.metrics import GLOSSARY, Accumulator, Figures
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.model.manifest import Manifest
from recolor_cli.recolorizer import MIN_SIDE, Recolorizer
from recolor_cli.types import FloatArray, RgbImage

GRAY, PRIOR_MEAN = "gray", "prior mean"  # the baselines' names
_AGED_SIDE = 256  # px, the longest side, so that wear is as large for a network on any scan
_GLOSSARY = GLOSSARY | {
    "l2_over_gray": "L2 over that of the gray column",
    "seconds": "time to recolor a decoded picture, without the time to measure it",
}
# Key, title and format of each row, in the order of the table.
_ROWS = (
    ("l2", "L2", ".1f"),
    ("l2_over_gray", "L2 / gray", ".3f"),
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
    ("seconds", "seconds a picture", ".3f"),
)


class ConstantColorNetwork:
    """A network that gives every pixel the same color, for the baselines.

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
        """Return `ab` everywhere: shape (N, 2, H / 4, W / 4)."""
        count, _, height, width = lightness.shape
        shape = (count, 2, height // 4, width // 4)
        return np.broadcast_to(self._ab[None, :, None, None], shape).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The figures of one model, or of a baseline."""

    name: str
    figures: Figures
    gray_l2: float  # L2 of the gray baseline
    seconds: float  # a picture
    differences: tuple[float, ...]  # CIEDE2000 of each picture, in their order

    def values(self) -> dict[str, float]:
        """Return the figures by their keys in the JSON document."""
        return {
            **asdict(self.figures),
            "l2_over_gray": self.figures.l2 / self.gray_l2,
            "seconds": self.seconds,
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with None for NaN, which JSON does not have."""
        values = {k: None if math.isnan(v) else v for k, v in self.values().items()}
        return {"model": self.name, **values}


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of several models, to be printed or saved.

    Parameters
    ----------
    models : tuple of ModelFigures
        Gray, the prior's mean, then the models.
    conditions : str
        What was measured, and how. It stands below the heading.
    """

    models: tuple[ModelFigures, ...]
    conditions: str

    def columns(self) -> tuple[str, ...]:
        """Return the heads of the columns of `rows`: one for each model."""
        return ("", "truth", *(model.name for model in self.models))

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row for each figure, as text, with the truth's own value where it has one."""
        values = [model.values() for model in self.models]
        truth = {
            "classes": self.models[0].figures.true_classes,
            "colorfulness": self.models[0].figures.true_colorfulness,
        }
        rows = []
        for key, title, form in _ROWS:
            own = format(truth[key], form) if key in truth else ""
            rows.append((title, own, *(format(v[key], form) for v in values)))
        return rows

    def to_markdown(self) -> str:
        """Return the table and the definitions of its rows as a document."""
        head = self.columns()
        lines = [f"# Evaluation\n\n{self.conditions}\n"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in head) + " |")
        lines.append("|---|" + "---:|" * (len(head) - 1))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows()]
        lines.append("\n## What the lines mean\n")
        lines += [f"- **{title}**: {_GLOSSARY[key]}" for key, title, _ in _ROWS]
        lines.append("\nReferences: the docstring of `recolor_cli/evaluation/metrics.py`.")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return all figures and their definitions as a JSON document."""
        document = {
            "conditions": self.conditions,
            "entries": [model.to_json() for model in self.models],
            "definitions": _GLOSSARY,
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def evaluate(
    pictures: Sequence[Picture],
    networks: Mapping[str, ColorNetwork],
    baseline: Manifest,
    options: RecolorOptions,
    aged: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> tuple[ModelFigures, ...]:
    """Recolor pictures with each network and compare the results with the pictures.

    Parameters
    ----------
    pictures : sequence of Picture
        Color pictures, at least one.
    networks : mapping of str to ColorNetwork
        The networks by the names that the table gives them.
    baseline : Manifest
        The manifest of a model with a prior, whose mean color is one baseline.
    options : RecolorOptions
    aged : bool
        Predict from pictures that are worn as old prints are (`aging.age`), in the same way at each
        call. The predicted color is painted on the clean picture, so that nothing else differs.
    advance : callable
        Called after each picture.

    Returns
    -------
    tuple of ModelFigures
        Gray, the prior's mean, then the networks.

    Raises
    ------
    InputError
        If all pictures are gray, or one cannot be decoded; then the message begins with its name.
    """
    baseline = replace(baseline, strength=1.0)  # this factor is for the model's own network
    gray_network = ConstantColorNetwork(baseline, np.zeros(2, np.float32))
    recolorizers = {
        GRAY: Recolorizer(gray_network),
        PRIOR_MEAN: Recolorizer(ConstantColorNetwork(baseline, baseline.prior_mean)),
    }
    recolorizers |= {name: Recolorizer(net, options) for name, net in networks.items()}
    accumulators = {name: Accumulator() for name in recolorizers}
    seconds = dict.fromkeys(recolorizers, 0.0)
    for number, picture in enumerate(pictures):
        rgb = decode_for_measuring(picture)
        shown = age_picture(rgb, number) if aged else rgb
        for name, recolorizer in recolorizers.items():
            started = time.perf_counter()
            result = recolorizer.paint(rgb, recolorizer.predict(shown))
            seconds[name] += time.perf_counter() - started
            accumulators[name].add(rgb, result)
        advance()
    gray = accumulators[GRAY].figures()
    if math.isnan(gray.one_class):
        raise InputError(
            "all pictures are gray: there is no color to measure against", "use others"
        )
    return tuple(
        ModelFigures(
            name,
            accumulator.figures(),
            gray.l2,
            seconds[name] / len(pictures),
            tuple(picture.ciede2000 for picture in accumulator.per_picture),
        )
        for name, accumulator in accumulators.items()
    )


def decode_for_measuring(picture: Picture) -> RgbImage:
    """Decode a picture and check that it is large enough: uint8 (H, W, 3), sRGB.

    Raises
    ------
    InputError
        If it cannot be decoded, or is too small. The message begins with its name.
    """
    rgb = picture.rgb()
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise InputError(f"{picture.name}: too small to measure on", "leave it out")
    return rgb


def age_picture(rgb: RgbImage, number: int) -> RgbImage:
    """Return a small gray copy that is worn as an old print is.

    Parameters
    ----------
    rgb : uint8 array, shape (H, W, 3), sRGB
    number : int
        The seed, which decides how the picture is worn.
    """
    small = shrink_to_side(rgb, _AGED_SIDE, MIN_SIDE)
    return lightness_to_gray(age(rgb_to_lightness(small), np.random.default_rng(number)))
