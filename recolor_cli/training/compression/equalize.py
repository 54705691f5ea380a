"""Channels brought to the same range before a network is computed in 8 bits.

One scale serves all channels of a tensor in 8 bits, so that the widest of them takes the steps from
all others. Between convolutions with nothing but sums in between (the linear bottlenecks of mobile
networks) each channel can be divided by a number, in the weights that make it, and multiplied by it
in those that read it: the network stays the same, the ranges become alike.

References
----------
Nagel, van Baalen, Blankevoort, Welling: Data-free quantization through weight equalization and bias
correction, ICCV 2019 (there by the ranges of weights, here by those of pictures' activations).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from recolor_cli.types import FloatArray

_LEAST = 1e-3  # of the widest channel's range: what is hardly ever used is not blown up further

# From the names of tensors (N, C, h, w) to the largest magnitude of each channel, shape (C,).
Ranges = Callable[[onnx.ModelProto, Sequence[str]], dict[str, FloatArray]]


@dataclass(slots=True)
class _Bottleneck:
    """Tensors that must be scaled alike, as they are summed, and who makes and reads them."""

    tensors: list[str]
    makers: list[Any] = field(default_factory=list)  # convolutions
    readers: list[tuple[Any, int]] = field(default_factory=list)  # with the first channel there
    stays: bool = False  # something else reads or makes it


def equalize(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Equalize the ranges of channels in place; what the network computes stays the same.

    Parameters
    ----------
    model : onnx.ModelProto
        Float32, with its norms folded into the convolutions.
    ranges : callable
        It takes the model, whose outputs it may not change, and names of tensors in it.
    """
    graph = _Graph(model)
    found = [one for one in graph.bottlenecks() if not one.stays]
    if not found:
        return
    names = [name for one in found for name in one.tensors]
    widest = ranges(model, names)
    for one in found:
        if len({widest[name].shape for name in one.tensors}) > 1:
            continue  # one of them is spread over the channels of another
        widths = np.max([widest[name] for name in one.tensors], axis=0)
        if not widths.max() > 0:
            continue  # nothing was ever there
        widths = np.maximum(widths, _LEAST * widths.max())
        factor = (widths / np.exp(np.log(widths).mean())).astype(np.float32)
        for node in one.makers:
            graph.scale(node.input[1], 1 / factor[:, None, None, None])
            graph.scale(node.input[2], 1 / factor)
        for node, first in one.readers:
            graph.scale(node.input[1], factor[:, None, None], first)


class _Graph:
    """Who makes and who reads each tensor of a model, and its weights."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._weights = {weight.name: weight for weight in self._graph.initializer}
        self._maker = {name: node for node in self._graph.node for name in node.output}
        self._readers = defaultdict(list)
        for node in self._graph.node:
            for name in node.input:
                self._readers[name].append(node)
        self._outputs = {output.name for output in self._graph.output}

    def bottlenecks(self) -> list[_Bottleneck]:
        """Return the tensors that convolutions make, with all that they are summed with."""
        found: list[_Bottleneck] = []
        seen: set[str] = set()
        for node in self._graph.node:
            if node.op_type == "Conv" and node.output[0] not in seen:
                found.append(self._around(node.output[0]))
                seen.update(found[-1].tensors)
        return found

    def scale(self, weight: str, factor: FloatArray, first: int | None = None) -> None:
        """Multiply a weight, or from its input channel `first` on as many as there are factors."""
        values = numpy_helper.to_array(self._weights[weight]).copy()
        part = values if first is None else values[:, first : first + len(factor)]
        part *= factor
        self._weights[weight].CopyFrom(numpy_helper.from_array(values, weight))

    def _around(self, tensor: str) -> _Bottleneck:
        one = _Bottleneck([tensor])

        def add(names: Iterable[str]) -> None:
            one.tensors += [name for name in names if name not in one.tensors]

        for name in one.tensors:  # it grows
            maker = self._maker.get(name)
            if maker is not None and maker.op_type == "Add":
                add(maker.input)
            elif maker is not None and self._has_own_weights(maker) and len(maker.input) == 3:
                one.makers.append(maker)
            else:
                one.stays = True
            one.stays |= name in self._outputs
            for node in self._readers[name]:
                if node.op_type == "Add":
                    add(node.output)
                elif readers := self._convolutions(node, name):
                    one.readers += readers
                else:
                    one.stays = True
        return one

    def _has_own_weights(self, node: Any) -> bool:
        """Tell whether a node is a convolution whose weights no other one reads."""
        weights = node.input[1:]
        return node.op_type == "Conv" and all(
            name in self._weights and len(self._readers[name]) == 1 for name in weights
        )

    def _reads_all(self, node: Any, tensor: str) -> bool:
        """Tell whether each channel of a convolution's answer takes from all of a tensor."""
        groups = _attribute(node, "group", 1)
        return self._has_own_weights(node) and node.input[0] == tensor and groups == 1

    def _convolutions(self, node: Any, tensor: str) -> list[tuple[Any, int]]:
        """Return the convolutions that read a tensor by a node, and where it begins in each."""
        if self._reads_all(node, tensor):
            return [(node, 0)]
        parts = list(node.input)
        joins = node.op_type == "Concat" and _attribute(node, "axis") == 1
        if not joins or parts.count(tensor) != 1:
            return []
        widths = [self._channels(name) for name in parts[: parts.index(tensor)]]
        together = node.output[0]
        readers = self._readers[together]
        if together in self._outputs or None in widths:
            return []
        if not all(self._reads_all(reader, together) for reader in readers):
            return []
        return [(reader, sum(width or 0 for width in widths)) for reader in readers]

    def _channels(self, tensor: str) -> int | None:
        """Return how many channels a tensor has, as far as that shows without running it."""
        maker = self._maker.get(tensor)
        while maker is not None and maker.op_type in ("Clip", "Relu", "Resize"):
            maker = self._maker.get(maker.input[0])
        if maker is None or maker.op_type != "Conv":
            return None
        return int(self._weights[maker.input[1]].dims[0])


def _attribute(node: Any, name: str, default: int | None = None) -> int | None:
    return next(
        (int(attribute.i) for attribute in node.attribute if attribute.name == name), default
    )


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of a model that answers with these tensors, too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return copy
