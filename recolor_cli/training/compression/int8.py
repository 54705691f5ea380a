"""A model file whose convolutions are computed in 8 bits, for processors.

Static quantization with QDQ pairs (quantize, dequantize) around each convolution, which onnxruntime
fuses on the CPU; on a GPU they would only slow it down. Weights symmetric, a scale for each output
channel; activations in 0..255, the range of each tensor taken from pictures.

The first convolutions stay in single precision: what they get wrong all others build on, and they
are the cheaper ones. How many is searched for: the fewest with which the color moves by less than
`LIMIT`. Before, the channels of each tensor are brought to the same range (`equalize`); afterwards
the strength in the manifest is set so that there is as much color as before.

The logits of a 1 x 1 head, a quarter of the time in single precision, are a product of 8-bit
numbers with a result in float32: with the classes last in memory, where softmax wants them, and
already divided by the temperature, which costs nothing in the scales of the product. So the file
has the output `annealed_logits`, shape (N, h, w, Q), in the place of `logits`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import ANNEALED, OnnxColorNetwork, captured_output
from recolor_cli.recolorizer import network_input
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.equalize import equalize, with_outputs
from recolor_cli.types import FloatArray, ImageSize, ModelKind

LIMIT = 0.5  # ab units: the most that the color may move on average
_ORT_DOMAIN = "com.microsoft"
_CALIBRATED = 60  # pictures for the ranges; with more, rare outliers make all else coarser
_COMPARED = 60  # others, that the move is measured on


@dataclass(frozen=True, slots=True)
class Quantized:
    """What became of a model in fewer bits."""

    moved: float  # ab units, mean over pictures that no ranges were taken from
    kept: int  # convolutions in single precision; in 8 bits the first ones
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
        folded = onnx.load(plain)
        equalize(folded, lambda model, names: _ranges(model, names, shown, manifest))
        onnx.save(folded, plain)
        names = [node.name for node in folded.graph.node if node.op_type == "Conv"]
        names.pop()  # it gives the answer itself

        def answers_with(kept: int) -> list[FloatArray]:
            _quantize(plain, candidate, names[kept:], shown, manifest)
            session = OnnxColorNetwork.load(candidate, "cpu")
            return [session.predict(tensor, manifest.temperature) for tensor in others]

        fewest, most = 0, len(names)
        while fewest < most:
            middle = (fewest + most) // 2
            if mean_difference(answers_with(middle), expected) < LIMIT:
                most = middle
            else:
                fewest = middle + 1
        if most == len(names):
            raise ModelError(
                f"{model} moves its color by more than {LIMIT} ab units in 8 bits",
                "use it as it is",
            )
        answers = answers_with(most)
        result = onnx.load(candidate)
        # Rounding makes distributions flatter, and their mean a little paler.
        strength = round(manifest.strength * _chroma(expected) / _chroma(answers), 4)
        helper.set_model_props(result, replace(manifest, strength=strength).to_properties())
        write_atomic(destination, result.SerializeToString())
    return Quantized(mean_difference(answers, expected), most, len(names) + 1)


def mean_difference(answers: list[FloatArray], expected: list[FloatArray]) -> float:
    """Return how far ab is off on average, each picture counting the same."""
    pairs = zip(answers, expected, strict=True)
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def _chroma(answers: list[FloatArray]) -> float:
    """Return the mean chroma of some pictures' ab."""
    return float(np.mean([np.hypot(ab[:, 0], ab[:, 1]).mean() for ab in answers]))


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
    if manifest.kind is ModelKind.CLASSIFICATION:
        _multiply_in_8_bits(model)
    helper.set_model_props(model, manifest.to_properties())
    onnx.save(model, destination)


def _ranges(
    model: onnx.ModelProto, names: Sequence[str], shown: list[FloatArray], manifest: Manifest
) -> dict[str, FloatArray]:
    """Return the largest magnitude of each channel of some tensors over pictures, shape (C,)."""
    asked = with_outputs(model, names).SerializeToString()
    session = onnxruntime.InferenceSession(asked, providers=["CPUExecutionProvider"])
    widest: dict[str, FloatArray] = {}
    for feed in _feeds(shown, manifest):
        for name, answer in zip(names, session.run(list(names), feed), strict=True):
            width = np.abs(answer).max(axis=(0, 2, 3))
            widest[name] = np.maximum(widest.get(name, width), width)
    return widest


def _multiply_in_8_bits(model: onnx.ModelProto) -> None:
    """Put a product of 8-bit numbers where a convolution of 1 x 1 makes the logits.

    What stands there (`train.AnnealedNetwork`): dequantize, the convolution, transpose, divide by
    the temperature, softmax.
    """
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    head = made["logits"]
    weight, bias = weights[head.input[1]], weights[head.input[2]]
    features = made[head.input[0]]
    if weight.shape[2:] != (1, 1) or features.op_type != "DequantizeLinear":
        return  # it looks at more than a pixel, or at what is in single precision
    (last,) = (node for node in graph.node if "logits" in node.input)
    (divided,) = (node for node in graph.node if last.output[0] in node.input)
    matrix = weight[:, :, 0, 0].T  # (C, Q)
    scale = np.maximum(np.abs(matrix).max(axis=0), np.float32(1e-12)) / np.float32(127)
    constants = {
        "head.weight": np.rint(matrix / scale).astype(np.int8),
        "head.zero": np.zeros(len(scale), np.int8),
        "head.scale": scale,
        "head.bias": bias,
    }
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
    quantized, step, zero = features.input
    product = ["head.features", "head.weight", step, "head.annealed_scale", zero, "head.zero"]
    new = [
        helper.make_node("Transpose", [quantized], ["head.features"], perm=[0, 2, 3, 1]),
        helper.make_node("Div", ["head.scale", "temperature"], ["head.annealed_scale"]),
        helper.make_node("Div", ["head.bias", "temperature"], ["head.annealed_bias"]),
        helper.make_node(
            "MatMulIntegerToFloat",
            [*product, "head.annealed_bias"],
            [ANNEALED],
            domain=_ORT_DOMAIN,
        ),
    ]
    at = list(graph.node).index(head)
    for old in (head, last, divided):
        graph.node.remove(old)
    for weight in list(graph.initializer):
        if weight.name in head.input:
            graph.initializer.remove(weight)
    for number, node in enumerate(new):
        graph.node.insert(at + number, node)
    for node in graph.node:
        for number, name in enumerate(node.input):
            if name == divided.output[0]:
                node.input[number] = ANNEALED
    (logits,) = (output for output in graph.output if output.name == "logits")
    graph.output.remove(logits)
    shape: list[str | int | None] = ["N", "h", "w", len(scale)]
    graph.output.append(helper.make_tensor_value_info(ANNEALED, onnx.TensorProto.FLOAT, shape))
    if all(used.domain != _ORT_DOMAIN for used in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_ORT_DOMAIN, 1))


def _feeds(tensors: list[FloatArray], manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Return the inputs of a model for each picture."""
    more: dict[str, Any] = {}
    if manifest.kind is ModelKind.CLASSIFICATION:
        more["temperature"] = np.array(manifest.temperature, np.float32)
    return ({"lightness": tensor} | more for tensor in tensors)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the ranges' pictures one by one."""

    def __init__(self, tensors: list[FloatArray], manifest: Manifest) -> None:
        self._feeds = _feeds(tensors, manifest)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next picture's inputs, or None at the end."""
        return next(self._feeds, None)
