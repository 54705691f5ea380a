"""Write a model file only if onnxruntime gives the colors of the framework that it comes from."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.metrics import Accumulator
from recolor_cli.evaluation.pictures import Picture, spread
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.build import network_inputs
from recolor_cli.training.compression.weight_storage import WeightStorage
from recolor_cli.types import FloatArray

TOLERANCE = 1e-2  # ab units: the largest accepted difference between the frameworks
_COMPARISON_COUNT = 16  # pictures at most
_FIGURES = ("balanced_auc", "one_class", "two_class", "class_ratio", "chroma_ratio", "ciede2000")


@dataclass(frozen=True, slots=True)
class Parity:
    """The difference between onnxruntime and the framework that a network comes from."""

    inputs: int
    max_difference: float  # ab units, between networks with the same rounded weights
    rounding: float = 0.0  # ab units, mean: the difference that rounding the weights makes
    storage: WeightStorage | None = None
    framework: str = "torch"
    tolerance: float = TOLERANCE  # ab units


def make_inputs(
    manifest: Manifest, shapes: Sequence[tuple[int, int, int]], pictures: list[Picture]
) -> list[FloatArray]:
    """Return inputs to compare two networks on: noise, and some of the pictures as they are run.

    `shapes` (N, H, W) are those of the noise. The inputs are L*, float32 (N, 1, H, W), 0..100.

    Raises
    ------
    UsageError
        If there is no picture.
    """
    if not pictures:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    random = np.random.default_rng(0)
    inputs: list[FloatArray] = [
        random.uniform(0, 100, (n, 1, h, w)).astype(np.float32) for n, h, w in shapes
    ]
    return inputs + list(network_inputs(manifest, spread(pictures, _COMPARISON_COUNT)))


def write_verified(
    model: Any,
    manifest: Manifest,
    destination: Path,
    pictures: list[Picture],
    compare: Callable[[OnnxColorNetwork], Parity],
) -> Parity:
    """Write a model file if its answers equal those of the framework that it comes from.

    Parameters
    ----------
    model : onnx.ModelProto
        Gets the manifest, which gets the figures of the model.
    destination : Path
        Appears only if the answers are equal.
    pictures : list of Picture
        The figures are measured on all of them.
    compare : callable
        Compares the file, opened in onnxruntime, with its source.

    Raises
    ------
    ModelError
        If the file cannot be run, or its answers differ by more than the parity's tolerance.
    """
    helper.set_model_props(model, manifest.to_properties())
    with tempfile.TemporaryDirectory() as folder:
        unverified = Path(folder) / destination.name
        unverified.write_bytes(model.SerializeToString())
        session = OnnxColorNetwork.load(unverified, "cpu")
        parity = compare(session)
        if not parity.max_difference <= parity.tolerance:  # NaN fails, too
            raise ModelError(
                f"{parity.framework} and onnxruntime differ by up to {parity.max_difference:.4f} "
                f"ab units, more than {parity.tolerance}: {destination} was not written",
                "report this with the versions that `recolor doctor` prints",
            )
        training = {**manifest.training, "figures": _measure(session, pictures)}
    helper.set_model_props(model, replace(manifest, training=training).to_properties())
    write_atomic(destination, model.SerializeToString())
    return parity


def _measure(session: OnnxColorNetwork, pictures: list[Picture]) -> dict[str, float | None]:
    """Return figures by their names in `evaluation.metrics`; None where there is no color."""
    recolorizer, result, gray = Recolorizer(session), Accumulator(), Accumulator()
    for picture in pictures:
        rgb = picture.rgb()
        result.add(rgb, recolorizer.recolor(rgb))
        gray.add(rgb, rgb_to_gray(rgb))
    figures, gray_l2 = result.figures(), gray.figures().l2
    values = {"l2_over_gray": figures.l2 / gray_l2 if gray_l2 else math.nan}
    values |= {key: getattr(figures, key) for key in _FIGURES}
    rounded = {k: None if math.isnan(v) else round(float(v), 4) for k, v in values.items()}
    return {"pictures": len(pictures), **rounded}
