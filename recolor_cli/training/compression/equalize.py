"""Bring the channels of each tensor to similar ranges before the network computes in 8 bits.

In 8 bits one scale serves all channels of a tensor, so the widest channel leaves few steps to the
others. Between two convolutions with nothing but sums in between (the linear bottlenecks of mobile
networks), each channel can be divided by a factor in the weights that make it and multiplied by the
same factor in the weights that read it. The network computes the same, and the ranges become
similar.

References
----------
Nagel, van Baalen, Blankevoort, Welling: Data-free quantization through weight equalization and bias
correction, ICCV 2019. There the ranges are those of weights, here those of pictures' activations.
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

# Fraction of the widest channel's range. A channel that is hardly ever used is enlarged no further.
_LEAST = 1e-3

# From the names of tensors (N, C, h, w) to the largest magnitude of each channel, shape (C,).
MeasureRanges = Callable[[onnx.ModelProto, Sequence[str]], dict[str, FloatArray]]


@dataclass(slots=True)
class _Bottleneck:
    """Tensors that need the same factors because they are summed, and their convolutions."""

    tensors: list[str]
    producers: list[Any] = field(default_factory=list)
    readers: list[tuple[Any, int]] = field(default_factory=list)  # with the first channel there
    is_fixed: bool = False  # something other than a convolution makes or reads it


def equalize(model: onnx.ModelProto, measure_ranges: MeasureRanges) -> None:
    """Equalize the ranges of channels in place; the network computes the same as before.

    Parameters
    ----------
    model : onnx.ModelProto
        Float32, with its norms folded into the convolutions.
    measure_ranges : callable
        Takes the model, whose outputs it must not change, and names of tensors in it.
    """
    graph = _Graph(model)
    bottlenecks = [found for found in graph.find_bottlenecks() if not found.is_fixed]
    if not bottlenecks:
        return
    widest = measure_ranges(model, [name for found in bottlenecks for name in found.tensors])
    for bottleneck in bottlenecks:
        ranges = [widest[name] for name in bottleneck.tensors]
        if len({channels.shape for channels in ranges}) > 1:
            continue  # a sum broadcasts one of them over the channels of another
        widths = np.max(ranges, axis=0)
        if not widths.max() > 0:
            continue  # always zero
        widths = np.maximum(widths, _LEAST * widths.max())
        factor = (widths / np.exp(np.log(widths).mean())).astype(np.float32)
        for node in bottleneck.producers:
            graph.scale(node.input[1], 1 / factor[:, None, None, None])
            graph.scale(node.input[2], 1 / factor)
        for node, first in bottleneck.readers:
            graph.scale(node.input[1], factor[:, None, None], first)


class _Graph:
    """A model's weights, and the nodes that produce and read each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._weights = {weight.name: weight for weight in self._graph.initializer}
        self._producers = {name: node for node in self._graph.node for name in node.output}
        self._readers = defaultdict(list)
        for node in self._graph.node:
            for name in node.input:
                self._readers[name].append(node)
        self._outputs = {output.name for output in self._graph.output}

    def find_bottlenecks(self) -> list[_Bottleneck]:
        """Return the tensors that convolutions make, each with all that it is summed with."""
        found: list[_Bottleneck] = []
        seen: set[str] = set()
        for node in self._graph.node:
            if node.op_type == "Conv" and node.output[0] not in seen:
                found.append(self._follow_sums(node.output[0]))
                seen.update(found[-1].tensors)
        return found

    def scale(self, weight: str, factor: FloatArray, first: int | None = None) -> None:
        """Multiply a weight by factors; with `first`, only its input channels from there on."""
        values = numpy_helper.to_array(self._weights[weight]).copy()
        part = values if first is None else values[:, first : first + len(factor)]
        part *= factor
        self._weights[weight].CopyFrom(numpy_helper.from_array(values, weight))

    def _follow_sums(self, tensor: str) -> _Bottleneck:
        """Return the bottleneck of a tensor."""
        found = _Bottleneck([tensor])

        def add(names: Iterable[str]) -> None:
            found.tensors += [name for name in names if name not in found.tensors]

        for name in found.tensors:  # the list grows in the loop
            producer = self._producers.get(name)
            if producer is not None and producer.op_type == "Add":
                add(producer.input)
            elif producer is not None and self._owns_weights(producer) and len(producer.input) == 3:
                found.producers.append(producer)
            else:
                found.is_fixed = True
            found.is_fixed |= name in self._outputs
            for node in self._readers[name]:
                if node.op_type == "Add":
                    add(node.output)
                elif readers := self._reading_convolutions(node, name):
                    found.readers += readers
                else:
                    found.is_fixed = True
        return found

    def _owns_weights(self, node: Any) -> bool:
        """Tell whether a node is a convolution whose weights no other node reads."""
        return node.op_type == "Conv" and all(
            name in self._weights and len(self._readers[name]) == 1 for name in node.input[1:]
        )

    def _reads_all(self, node: Any, tensor: str) -> bool:
        """Tell whether each output channel of a convolution reads all channels of a tensor."""
        groups = _attribute(node, "group", 1)
        return self._owns_weights(node) and node.input[0] == tensor and groups == 1

    def _reading_convolutions(self, node: Any, tensor: str) -> list[tuple[Any, int]]:
        """Return the convolutions that read a tensor, each with the tensor's first channel there.

        The node is such a convolution, or joins the tensor with others for them. The list is empty
        if something else reads the tensor through the node.
        """
        if self._reads_all(node, tensor):
            return [(node, 0)]
        parts = list(node.input)
        joins_channels = node.op_type == "Concat" and _attribute(node, "axis") == 1
        if not joins_channels or parts.count(tensor) != 1:
            return []
        widths = [self._count_channels(name) for name in parts[: parts.index(tensor)]]
        joined = node.output[0]
        readers = self._readers[joined]
        if joined in self._outputs or None in widths:
            return []
        if not all(self._reads_all(reader, joined) for reader in readers):
            return []
        return [(reader, sum(width or 0 for width in widths)) for reader in readers]

    def _count_channels(self, tensor: str) -> int | None:
        """Return the number of a tensor's channels; None if the graph alone does not tell."""
        producer = self._producers.get(tensor)
        while producer is not None and producer.op_type in ("Clip", "Relu", "Resize"):
            producer = self._producers.get(producer.input[0])
        if producer is None or producer.op_type != "Conv":
            return None
        return int(self._weights[producer.input[1]].dims[0])


def _attribute(node: Any, name: str, default: int | None = None) -> int | None:
    """Return an integer attribute of a node."""
    return next(
        (int(attribute.i) for attribute in node.attribute if attribute.name == name), default
    )


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of a model that has these tensors among its outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return copy
