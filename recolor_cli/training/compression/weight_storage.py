"""How a model file stores its weights: in fewer bits than they are computed with.

Casts, and for 8 bits multiplications, stand behind the stored weights; onnxruntime folds them when
it loads the file, which then runs as fast as one with weights in single precision.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

NETWORK = "network."  # before the names of a network's weights in a model file
HALF, INT8, SCALE = ".half", ".int8", ".scale"  # behind the names of what is stored


# Numbers. The small weights are those of the first layers and of depthwise convolutions: 8 bits of
# them would save little, and change the color of the default model by 3 ab units instead of 0.07.
_LARGE = 60_000


class Storage(StrEnum):
    """Of convolutions and matrices; norms and biases stay as they are."""

    INT8 = "8 bits"  # the large ones, symmetric, a scale for each output channel; the others: half
    HALF = "half precision"


def round_weights(network: nn.Module, storage: Storage) -> dict[str, dict[str, NDArray[Any]]]:
    """Round the weights of a network in place to what can be stored.

    Returns
    -------
    dict of str to dict
        For each rounded weight, by its name in the network, what is stored: `HALF`, or `INT8` and
        `SCALE`.
    """
    stored: dict[str, dict[str, NDArray[Any]]] = {}
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2:
            continue
        weight = parameter.data
        if storage is Storage.HALF or weight.numel() < _LARGE:
            half = weight.half()
            stored[name] = {HALF: half.numpy()}
            parameter.data = half.float()
        else:
            scale = _largest(weight) / 127
            number = (weight / scale).round()
            stored[name] = {INT8: number.to(torch.int8).numpy(), SCALE: scale.numpy()}
            parameter.data = number * scale
    return stored


def _largest(weight: Tensor) -> Tensor:
    """Return the largest magnitude of each output channel, of the weight's number of axes."""
    axes = tuple(range(1, weight.ndim))
    return weight.abs().amax(dim=axes, keepdim=True).clamp(min=1e-12)  # one may be all zeros


def store(model: Any, stored: dict[str, dict[str, NDArray[Any]]]) -> None:
    """Replace the weights of an ONNX model by what `round_weights` returned for its network.

    A weight that the exporter changed is none of those and stays as it is.
    """
    behind = []
    tensors = list(model.graph.initializer)
    del model.graph.initializer[:]
    for tensor in tensors:
        parts = stored.get(tensor.name.removeprefix(NETWORK), {})
        if not parts or not np.array_equal(restored(parts), numpy_helper.to_array(tensor)):
            model.graph.initializer.append(tensor)
            continue
        name = tensor.name
        for suffix, values in parts.items():
            model.graph.initializer.append(numpy_helper.from_array(values, f"{name}{suffix}"))
        if HALF in parts:
            behind.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
        else:
            number = f"{name}.number"
            behind += [
                helper.make_node("Cast", [name + INT8], [number], to=TensorProto.FLOAT),
                helper.make_node("Mul", [number, name + SCALE], [name]),
            ]
    nodes = behind + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def restore(model: Any) -> dict[str, Tensor]:
    """Return the weights of the network in an ONNX model, in single precision, by name."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for tensor in model.graph.initializer:
        if tensor.name.startswith(NETWORK):
            name, suffix = tensor.name.removeprefix(NETWORK), ""
            for ending in (HALF, INT8, SCALE):
                if name.endswith(ending):
                    name, suffix = name.removesuffix(ending), ending
            parts.setdefault(name, {})[suffix] = numpy_helper.to_array(tensor)
    return {name: torch.from_numpy(restored(part)) for name, part in parts.items()}


def restored(parts: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return a weight in single precision, of what is stored of it."""
    if INT8 in parts:
        weight: NDArray[np.float32] = parts[INT8].astype(np.float32) * parts[SCALE]
        return weight
    return next(iter(parts.values())).astype(np.float32)
