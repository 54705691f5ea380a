"""Weights of a model file, stored in fewer bits than the network computes with.

Casts, and for 8 bits multiplications, follow the stored weights in the graph. onnxruntime folds
them when it loads the file, which then runs as fast as one with weights in float32.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from recolor_cli.types import FloatArray

NETWORK = "network."  # before the names of a network's weights in a model file
# Behind the names of the stored parts. Models from before the second scale have the first alone.
HALF, INT8, SCALE, INPUT_SCALE = ".half", ".int8", ".scale", ".input_scale"
_SCALES = (SCALE, INPUT_SCALE)

# Number of values. The smaller weights are those of the first layers and of depthwise convolutions:
# 8 bits of them would save little, and change the color of the default model by 3 ab units instead
# of 0.06.
_LARGE = 60_000

StoredWeight = dict[str, NDArray[Any]]
"""The parts of one weight: `HALF` alone, or `INT8`, `SCALE` and `INPUT_SCALE`."""


class WeightStorage(StrEnum):
    """The storage of convolutions and matrices. Norms and biases stay in float32."""

    INT8 = "8 bits"  # large weights: symmetric, a scale per channel; small ones: float16
    HALF = "half precision"


def round_weight(weight: FloatArray, storage: WeightStorage) -> StoredWeight:
    """Return the stored parts of a weight whose first axes are its output and input channels.

    An input channel whose values are large has small weights. With a scale for each output channel
    alone these would have few steps, and the default model's color would move six times as far.
    """
    if storage is WeightStorage.HALF or weight.size < _LARGE:
        with np.errstate(over="ignore"):  # to infinity; the caller's comparison finds it
            return {HALF: weight.astype(np.float16)}
    inputs = _largest(weight, 1)
    weight = weight / inputs
    scale = _largest(weight, 0) / np.float32(127)
    return {INT8: np.rint(weight / scale).astype(np.int8), SCALE: scale, INPUT_SCALE: inputs}


def _largest(weight: FloatArray, axis: int) -> FloatArray:
    """Return the largest magnitude of each channel along an axis, with all axes kept."""
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest: FloatArray = np.abs(weight).max(axis=others, keepdims=True)
    return np.maximum(largest, np.float32(1e-12))  # a channel may be all zeros


def dequantize(stored: StoredWeight) -> FloatArray:
    """Return a stored weight in float32."""
    if INT8 in stored:
        weight: FloatArray = stored[INT8].astype(np.float32)
        for scale in _SCALES:
            weight = weight * stored[scale] if scale in stored else weight
        return weight
    return next(iter(stored.values())).astype(np.float32)


def round_weights(network: nn.Module, storage: WeightStorage) -> dict[str, StoredWeight]:
    """Round the weights of a network in place, and return their stored parts by weight name."""
    stored: dict[str, StoredWeight] = {}
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2:
            stored[name] = round_weight(parameter.data.numpy(), storage)
            parameter.data = torch.from_numpy(dequantize(stored[name]))
    return stored


def store_weights(model: Any, stored: dict[str, StoredWeight]) -> None:
    """Replace the weights of an ONNX model by stored parts, in place.

    Parameters
    ----------
    model : onnx.ModelProto
    stored : dict of str to StoredWeight
        By the weight's name in the network. A weight whose value in the graph is not exactly the
        stored one, because the exporter changed it, stays as it is.
    """
    followers = []
    tensors = list(model.graph.initializer)
    del model.graph.initializer[:]
    for tensor in tensors:
        parts = stored.get(tensor.name.removeprefix(NETWORK), {})
        if not parts or not np.array_equal(dequantize(parts), numpy_helper.to_array(tensor)):
            model.graph.initializer.append(tensor)
            continue
        name = tensor.name
        for suffix, values in parts.items():
            model.graph.initializer.append(numpy_helper.from_array(values, f"{name}{suffix}"))
        if HALF in parts:
            followers.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
        else:
            number, row = f"{name}.number", f"{name}.row"
            followers += [
                helper.make_node("Cast", [name + INT8], [number], to=TensorProto.FLOAT),
                helper.make_node("Mul", [number, name + SCALE], [row]),
                helper.make_node("Mul", [row, name + INPUT_SCALE], [name]),
            ]
    nodes = followers + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def restore_weights(model: Any) -> dict[str, Tensor]:
    """Return the weights of the network in an ONNX model, in float32, by name."""
    stored: dict[str, StoredWeight] = {}
    for tensor in model.graph.initializer:
        if tensor.name.startswith(NETWORK):
            name, suffix = tensor.name.removeprefix(NETWORK), ""
            for ending in (HALF, INT8, *_SCALES):
                if name.endswith(ending):
                    name, suffix = name.removesuffix(ending), ending
            stored.setdefault(name, {})[suffix] = numpy_helper.to_array(tensor)
    return {name: torch.from_numpy(dequantize(parts)) for name, parts in stored.items()}
