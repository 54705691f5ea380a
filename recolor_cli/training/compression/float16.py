"""Make the float16 build of a model, whose convolutions compute in half precision, for GPUs.

Three parts stay in float32: the first convolutions, because all others build on their errors; the
mean over the picture; and the last convolution with all the decoding. Norms are folded into the
convolutions first, and weights are put together in float32, so that each is rounded only once.

onnxruntime has no float16 convolutions for most CPUs. There it computes them in float32 and rounds
only the weights. So the color shift is measured on a second graph of the same weights that rounds
where onnxruntime's CUDA provider does: the products of a convolution, summed in float32; their sum
with the bias; and the result of each other operation.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture, spread
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.build import BuildReport, Comparison, fold_norms
from recolor_cli.training.compression.weight_storage import (
    NETWORK,
    WeightStorage,
    dequantize,
    round_weight,
    store_weights,
)
from recolor_cli.training.tracing import IR_VERSION

MAX_SHIFT = 0.2  # ab units, mean over the pictures
_COMPARISON_COUNT = 120  # pictures
# First convolutions that stay in float32. They are small, and the color of the default model then
# shifts half as far.
_FIRST = 2
_TO_HALF, _TO_SINGLE = ".to_half", ".to_single"  # behind the names of tensors that are cast
# The operations that take the time between convolutions. Others, such as norms that could not be
# folded, stay in float32.
_OPERATIONS = {"Conv", "ConvTranspose", "Clip", "Relu", "Add", "Concat", "Resize", "MaxPool"}


def to_float16(model: Path, destination: Path, pictures: list[Picture]) -> BuildReport:
    """Write the float16 build of a model.

    Parameters
    ----------
    model : Path
        A file that `recolor export` wrote.
    destination : Path
        Written only if the color shifts by less than `MAX_SHIFT`.
    pictures : list of Picture
        For the comparison.

    Raises
    ------
    ModelError
        If it is no model, or its color shifts too far.
    UsageError
        If there is no picture.
    """
    if not pictures:
        raise UsageError("half precision is compared on pictures", "name some with --pictures")
    network = OnnxColorNetwork.load(model, "cpu")
    comparison = Comparison(network, spread(pictures, _COMPARISON_COUNT))
    with tempfile.TemporaryDirectory() as folder:
        folded, candidate, simulation = (Path(folder) / name for name in "abc")
        fold_norms(model, folded)
        build = onnx.load(folded)
        chosen = _choose_nodes(build.graph)
        _convert_nodes(build.graph, chosen)
        _round_weights(build, _storage_of(model))
        helper.set_model_props(build, network.manifest.to_properties())
        _lower_requirements(build)
        candidate.write_bytes(build.SerializeToString())
        simulation.write_bytes(_simulate_rounding(build, chosen).SerializeToString())
        shift = comparison.shift(comparison.run(simulation))
        largest = max(shift, comparison.shift(comparison.run(candidate)))
        if not largest < MAX_SHIFT:  # also if it is NaN
            raise ModelError(
                f"{model} moves its color by {largest:.2f} ab units in half precision, more "
                f"than {MAX_SHIFT}",
                "use it as it is",
            )
        write_atomic(destination, candidate.read_bytes())
    convolutions = [node.name for node in build.graph.node if node.op_type == "Conv"]
    kept = [name for name in convolutions if name not in chosen]
    return BuildReport(shift, len(kept), len(convolutions))


def _choose_nodes(graph: Any) -> set[str]:
    """Return the names of the nodes that compute in float16.

    They lie behind a convolution that is neither one of the first nor the last, and before the last
    one.
    """
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    inner = {node.name for node in convolutions[_FIRST:-1]}
    reached: set[str] = set()  # tensors made by an inner convolution or behind one
    behind = []
    for node in graph.node:
        if node.name in inner or not reached.isdisjoint(node.input):
            reached.update(node.output)
            behind.append(node)
    needed = {name for node in convolutions[-1:] for name in node.input}
    outputs = {output.name for output in graph.output}
    chosen = set()
    for node in reversed(behind):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            if node.op_type in _OPERATIONS and outputs.isdisjoint(node.output):
                chosen.add(node.name)
    return chosen


def _half_inputs(node: Any) -> list[int]:
    """Return the indices of a converted node's float16 inputs: of Resize only the first one."""
    return [i for i, name in enumerate(node.input) if name and not (node.op_type == "Resize" and i)]


def _convert_nodes(graph: Any, chosen: set[str]) -> None:
    """Make the chosen nodes compute in float16, with casts around them."""
    halved = {name for node in graph.node if node.name in chosen for name in node.output}
    nodes: list[Any] = []
    known: set[str] = set()

    def cast(name: str, kind: int, suffix: str) -> str:
        if name + suffix not in known:
            known.add(name + suffix)
            nodes.append(helper.make_node("Cast", [name], [name + suffix], to=kind))
        return name + suffix

    for node in graph.node:
        if node.name in chosen:
            for i in _half_inputs(node):
                if node.input[i] not in halved:
                    node.input[i] = cast(node.input[i], TensorProto.FLOAT16, _TO_HALF)
        else:
            for i, name in enumerate(node.input):
                if name in halved:
                    node.input[i] = cast(name, TensorProto.FLOAT, _TO_SINGLE)
        nodes.append(node)
    _replace_nodes(graph, nodes)
    del graph.value_info[:]  # it holds the types from before


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


def _lower_requirements(model: Any) -> None:
    """Declare the exporter's IR version and the used domains; folding declares all it knows."""
    model.ir_version = IR_VERSION
    used = {node.domain for node in model.graph.node}
    domains = [domain for domain in model.opset_import if domain.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)


def _storage_of(model: Path) -> WeightStorage:
    """Return how a model file stores its weights."""
    kinds = {tensor.data_type for tensor in onnx.load(model).graph.initializer}
    return WeightStorage.INT8 if TensorProto.INT8 in kinds else WeightStorage.HALF


def _round_weights(model: Any, storage: WeightStorage) -> None:
    """Store the weights of a converted model in as few bits as the model it comes from.

    Weights that come from 8 bits are rounded once more, because a folded norm changes the scales of
    the channels. Weights that are read in float32 are stored exactly.
    """
    graph = model.graph
    halved = {node.input[0] for node in graph.node if node.output[0] == node.input[0] + _TO_HALF}
    stored = {}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.ndim < 2:
            continue
        parts = round_weight(value, storage)
        rounded = dequantize(parts)
        if tensor.name in halved or np.array_equal(rounded, value):
            stored[tensor.name.removeprefix(NETWORK)] = parts
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    store_weights(model, stored)


def _simulate_rounding(model: Any, chosen: set[str]) -> Any:
    """Return a model that computes in float32 and rounds to float16 where a GPU does."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    axes = "rounding.axes"
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), axes))
    nodes: list[Any] = []

    def cast(name: str, kind: int, target: str) -> str:
        # onnxruntime removes a pair of casts only if it has added the pair itself.
        nodes.append(helper.make_node("Cast", [name], [target], to=kind))
        return target

    for node in graph.node:
        if node.name not in chosen:
            nodes.append(node)
            continue
        for i in _half_inputs(node):
            node.input[i] = cast(node.input[i], TensorProto.FLOAT, f"{node.name}.rounding.{i}")
        (output,) = node.output
        exact = node.output[0] = f"{output}.exact"
        nodes.append(node)
        if node.op_type.startswith("Conv") and len(node.input) == 3:
            bias = node.input.pop()  # it is added in a step of its own
            half = cast(exact, TensorProto.FLOAT16, f"{output}.sum")
            single = cast(half, TensorProto.FLOAT, f"{output}.sum.single")
            nodes.append(helper.make_node("Unsqueeze", [bias, axes], [f"{bias}.4d"]))
            exact = f"{output}.biased"
            nodes.append(helper.make_node("Add", [single, f"{bias}.4d"], [exact]))
        cast(exact, TensorProto.FLOAT16, output)
    _replace_nodes(graph, nodes)
    return result
