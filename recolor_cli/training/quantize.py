"""A model file whose convolutions are computed in 8 bits, for processors.

Static quantization with QDQ pairs (quantize, dequantize) around each convolution, which onnxruntime
fuses on the CPU; on a GPU they would only slow it down. Weights symmetric, a scale for each output
channel; activations in 0..255, the range of each tensor taken from pictures.

The first convolutions stay in single precision: what they get wrong all others build on, and they
are the cheaper ones. How many is searched for: the fewest with which the color moves by less than
`LIMIT`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.files import write_atomic
from recolor_cli.manifest import Manifest
from recolor_cli.network import OnnxColorNetwork, captured_output
from recolor_cli.recolorizer import network_input
from recolor_cli.types import FloatArray, ImageSize, ModelKind

LIMIT = 0.5  # ab units: the most that the color may move on average
_CALIBRATED = 60  # pictures for the ranges; with more, rare outliers make all else coarser
_COMPARED = 60  # others, that the move is measured on


@dataclass(frozen=True, slots=True)
class Quantized:
    """What became of a model in 8 bits."""

    moved: float  # ab units, mean over pictures that the ranges were not taken from
    kept: int  # convolutions in single precision, from the first on
    convolutions: int


def quantize(model: Path, destination: Path, pictures: list[Picture]) -> Quantized:
    """Write a model file that computes in 8 bits what another computes in single precision.

    Parameters
    ----------
    model : Path
        One that `recolor export` wrote.
    destination : Path
        It appears only if the color moves by less than `LIMIT`.
    pictures : list of Picture
        Every other one for the ranges, the others to compare on.

    Returns
    -------
    Quantized

    Raises
    ------
    ModelError
        If the model is none, or cannot be quantized without moving the color too far.
    UsageError
        If there are fewer than two pictures.
    """
    if len(pictures) < 2:
        raise UsageError("ranges are taken from pictures", "name more than one with --pictures")
    network = OnnxColorNetwork.load(model, "cpu")
    manifest = network.manifest
    shown = list(tensors_of(manifest, pictures[::2][:_CALIBRATED]))
    others = list(tensors_of(manifest, pictures[1::2][:_COMPARED]))
    expected = [network.predict(tensor, manifest.temperature) for tensor in others]
    with tempfile.TemporaryDirectory() as folder:
        plain, candidate = Path(folder) / "plain.onnx", Path(folder) / "8-bits.onnx"
        fold(model, plain)
        names = [node.name for node in onnx.load(plain).graph.node if node.op_type == "Conv"]
        names.pop()  # it gives the answer itself

        def moved_with(kept: int) -> float:
            _quantize(plain, candidate, names[kept:], shown, manifest)
            session = OnnxColorNetwork.load(candidate, "cpu")
            answers = (session.predict(tensor, manifest.temperature) for tensor in others)
            return float(
                np.mean([np.abs(a - b).mean() for a, b in zip(answers, expected, strict=True)])
            )

        fewest, most = 0, len(names)
        while fewest < most:
            middle = (fewest + most) // 2
            if moved_with(middle) < LIMIT:
                most = middle
            else:
                fewest = middle + 1
        if most == len(names):
            raise ModelError(
                f"{model} moves its color by more than {LIMIT} ab units in 8 bits",
                "use it as it is",
            )
        moved = moved_with(most)
        write_atomic(destination, candidate.read_bytes())
    return Quantized(moved, most, len(names) + 1)


def tensors_of(manifest: Manifest, pictures: list[Picture]) -> Iterator[FloatArray]:
    """Yield what a network reads of each picture."""
    for picture in pictures:
        rgb = picture.rgb()
        box = manifest.box(ImageSize(*rgb.shape[:2]))
        yield network_input(rgb, box, manifest.pad_lightness)


def fold(model: Path, destination: Path) -> None:
    """Write a model with its stored weights and its norms folded into the convolutions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(destination)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _quantize(
    plain: Path, destination: Path, names: list[str], shown: list[FloatArray], manifest: Manifest
) -> None:
    """Write a folded model with these convolutions, and the sums between them, in 8 bits."""
    chosen = set(names)
    made = set()  # tensors
    for node in onnx.load(plain).graph.node:
        follows = all(name in made for name in node.input if name)
        if node.op_type == "Conv" and node.name in chosen:
            made.update(node.output)
        elif (node.op_type in ("Clip", "Relu") and node.input[0] in made) or (
            node.op_type == "Add" and follows
        ):
            made.update(node.output)
            chosen.add(node.name)
    with captured_output():
        logging.disable(logging.WARNING)  # it advises what has been done
        try:
            quantize_static(
                plain,
                destination,
                _Reader(shown, manifest),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=sorted(chosen),
                op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],
            )
        finally:
            logging.disable(logging.NOTSET)
    model = onnx.load(destination)
    onnx.helper.set_model_props(model, manifest.to_properties())
    onnx.save(model, destination)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the ranges' pictures one by one."""

    def __init__(self, tensors: list[FloatArray], manifest: Manifest) -> None:
        self._feeds = iter([{"lightness": tensor} for tensor in tensors])
        self._more: dict[str, Any] = {}
        if manifest.kind is ModelKind.CLASSIFICATION:
            self._more["temperature"] = np.array(manifest.temperature, np.float32)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next picture's inputs, or None at the end."""
        feed = next(self._feeds, None)
        return None if feed is None else feed | self._more
