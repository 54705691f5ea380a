"""Make the int8 build of a model, whose convolutions compute in 8 bits, for CPUs.

Static quantization puts a pair of quantize and dequantize (QDQ) around each convolution.
onnxruntime fuses the pairs on the CPU; on a GPU they would only cost time. Weights are symmetric,
with one scale per output channel. Activations are 0..255, with the range of each tensor taken from
pictures.

The first convolutions stay in float32, because all others build on their errors and they are the
cheaper ones. A search finds the fewest with which the color shifts by less than `MAX_SHIFT`. Before
it, the channels of each tensor are scaled to similar ranges (`equalize`). After it, the strength in
the manifest is set so that there is as much color as before.

The logits of a 1 x 1 head, a quarter of the time in float32, become a product of 8-bit integers
with a float32 result. The classes lie last in memory, where softmax wants them, and the division by
the temperature goes into the scales of the product, where it costs nothing. So the file has the
output `annealed_logits`, shape (N, h, w, Q), in place of `logits`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import ANNEALED_LOGITS, OnnxColorNetwork
from recolor_cli.model.session import CPU_PROVIDER
from recolor_cli.system.capture import capture_output
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.build import (
    BuildReport,
    Comparison,
    fold_norms,
    network_inputs,
)
from recolor_cli.training.compression.equalize import equalize, with_outputs
from recolor_cli.types import FloatArray, ModelKind

MAX_SHIFT = 0.5  # ab units, mean over the pictures
_ORT_DOMAIN = "com.microsoft"
_CALIBRATED = 60  # pictures for the ranges; rare outliers in more of them coarsen all other values
_COMPARISON_COUNT = 60  # other pictures, for the shift


def to_int8(model: Path, destination: Path, pictures: list[Picture]) -> BuildReport:
    """Write the int8 build of a model.

    Parameters
    ----------
    model : Path
        A file that `recolor export` wrote.
    destination : Path
        Written only if the color shifts by less than `MAX_SHIFT`.
    pictures : list of Picture
        Every second one gives ranges, the others are for the comparison.

    Raises
    ------
    ModelError
        If it is no model, or its color shifts too far.
    UsageError
        If there are fewer than two pictures.
    """
    if len(pictures) < 2:
        raise UsageError("ranges are taken from pictures", "name more than one with --pictures")
    network = OnnxColorNetwork.load(model, "cpu")
    manifest = network.manifest
    shown = list(network_inputs(manifest, pictures[::2][:_CALIBRATED]))
    comparison = Comparison(network, pictures[1::2][:_COMPARISON_COUNT])
    with tempfile.TemporaryDirectory() as folder:
        plain, candidate = Path(folder) / "plain.onnx", Path(folder) / "8-bits.onnx"
        fold_norms(model, plain)
        folded = onnx.load(plain)
        equalize(folded, lambda model, names: _measure_ranges(model, names, shown, manifest))
        onnx.save(folded, plain)
        names = [node.name for node in folded.graph.node if node.op_type == "Conv"]
        names.pop()  # the last one makes the logits or ab

        def run_with(kept: int) -> list[FloatArray]:
            _quantize(plain, candidate, names[kept:], shown, manifest)
            return comparison.run(candidate)

        fewest, most = 0, len(names)
        while fewest < most:
            middle = (fewest + most) // 2
            if comparison.shift(run_with(middle)) < MAX_SHIFT:
                most = middle
            else:
                fewest = middle + 1
        if most == len(names):
            raise ModelError(
                f"{model} moves its color by more than {MAX_SHIFT} ab units in 8 bits",
                "use it as it is",
            )
        found = run_with(most)
        build = onnx.load(candidate)
        # Rounding makes distributions flatter, and their mean a little paler.
        factor = _mean_chroma(comparison.expected) / _mean_chroma(found)
        strength = round(manifest.strength * factor, 4)
        helper.set_model_props(build, replace(manifest, strength=strength).to_properties())
        write_atomic(destination, build.SerializeToString())
    return BuildReport(comparison.shift(found), most, len(names) + 1)


def _mean_chroma(answers: list[FloatArray]) -> float:
    """Return the mean chroma of some pictures' ab, ab units."""
    return float(np.mean([np.hypot(ab[:, 0], ab[:, 1]).mean() for ab in answers]))


def _quantize(
    plain: Path, destination: Path, names: list[str], shown: list[FloatArray], manifest: Manifest
) -> None:
    """Write a folded model with these convolutions, and the sums between them, in 8 bits."""
    chosen = set(names)
    quantized = set()  # tensors
    for node in onnx.load(plain).graph.node:
        all_inputs = all(name in quantized for name in node.input if name)
        if node.op_type == "Conv" and node.name in chosen:
            quantized.update(node.output)
        elif (node.op_type in ("Clip", "Relu") and node.input[0] in quantized) or (
            node.op_type == "Add" and all_inputs
        ):
            quantized.update(node.output)
            chosen.add(node.name)
    with capture_output():
        logging.disable(logging.WARNING)  # it advises preprocessing, which `fold_norms` has done
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
        _quantize_head(model)
    helper.set_model_props(model, manifest.to_properties())
    onnx.save(model, destination)


def _measure_ranges(
    model: onnx.ModelProto, names: Sequence[str], shown: list[FloatArray], manifest: Manifest
) -> dict[str, FloatArray]:
    """Return the largest magnitude of each channel of some tensors over pictures, shape (C,)."""
    extended = with_outputs(model, names).SerializeToString()
    session = onnxruntime.InferenceSession(extended, providers=[CPU_PROVIDER])
    widest: dict[str, FloatArray] = {}
    for feed in _feeds(shown, manifest):
        for name, tensor in zip(names, session.run(list(names), feed), strict=True):
            width = np.abs(tensor).max(axis=(0, 2, 3))
            widest[name] = np.maximum(widest.get(name, width), width)
    return widest


def _quantize_head(model: onnx.ModelProto) -> None:
    """Replace the 1 x 1 convolution that makes the logits by a product of 8-bit integers.

    The exported graph there (`AnnealedNetwork`) is: dequantize, convolution, transpose, division by
    the temperature, softmax. Nothing changes if the head reads more than a pixel, or float32.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    head = producers["logits"]
    weight, bias = weights[head.input[1]], weights[head.input[2]]
    features = producers[head.input[0]]
    if weight.shape[2:] != (1, 1) or features.op_type != "DequantizeLinear":
        return
    (transpose,) = (node for node in graph.node if "logits" in node.input)
    (divide,) = (node for node in graph.node if transpose.output[0] in node.input)
    graph.initializer.extend(_head_constants(weight, bias))
    at = list(graph.node).index(head)
    for old in (head, transpose, divide):
        graph.node.remove(old)
    for tensor in list(graph.initializer):
        if tensor.name in head.input:
            graph.initializer.remove(tensor)
    for number, node in enumerate(_head_nodes(*features.input)):
        graph.node.insert(at + number, node)
    for node in graph.node:
        for number, name in enumerate(node.input):
            if name == divide.output[0]:
                node.input[number] = ANNEALED_LOGITS
    (logits,) = (output for output in graph.output if output.name == "logits")
    graph.output.remove(logits)
    shape: list[str | int | None] = ["N", "h", "w", len(bias)]
    graph.output.append(
        helper.make_tensor_value_info(ANNEALED_LOGITS, onnx.TensorProto.FLOAT, shape)
    )
    if all(used.domain != _ORT_DOMAIN for used in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_ORT_DOMAIN, 1))


def _head_constants(weight: FloatArray, bias: FloatArray) -> list[onnx.TensorProto]:
    """Return the tensors of the 8-bit head, of a weight (Q, C, 1, 1)."""
    matrix = weight[:, :, 0, 0].T  # (C, Q)
    scale = np.maximum(np.abs(matrix).max(axis=0), np.float32(1e-12)) / np.float32(127)
    constants = {
        "head.weight": np.rint(matrix / scale).astype(np.int8),
        "head.zero": np.zeros(len(scale), np.int8),
        "head.scale": scale,
        "head.bias": bias,
    }
    return [numpy_helper.from_array(values, name) for name, values in constants.items()]


def _head_nodes(features: str, step: str, zero: str) -> list[onnx.NodeProto]:
    """Return the nodes of the 8-bit head, which reads uint8 features of this step and zero."""
    inputs = ["head.features", "head.weight", step, "head.annealed_scale", zero, "head.zero"]
    return [
        helper.make_node("Transpose", [features], ["head.features"], perm=[0, 2, 3, 1]),
        helper.make_node("Div", ["head.scale", "temperature"], ["head.annealed_scale"]),
        helper.make_node("Div", ["head.bias", "temperature"], ["head.annealed_bias"]),
        helper.make_node(
            "MatMulIntegerToFloat",
            [*inputs, "head.annealed_bias"],
            [ANNEALED_LOGITS],
            domain=_ORT_DOMAIN,
        ),
    ]


def _feeds(tensors: list[FloatArray], manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Return the model's inputs for each picture."""
    more: dict[str, Any] = {}
    if manifest.kind is ModelKind.CLASSIFICATION:
        more["temperature"] = np.array(manifest.temperature, np.float32)
    return ({"lightness": tensor} | more for tensor in tensors)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Give onnxruntime the pictures for the ranges one by one."""

    def __init__(self, tensors: list[FloatArray], manifest: Manifest) -> None:
        self._feeds = _feeds(tensors, manifest)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next picture's inputs, or None at the end."""
        return next(self._feeds, None)
