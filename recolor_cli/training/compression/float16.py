"""A model file whose convolutions are computed in half precision, for GPUs.

What stays in single precision: the first convolutions, for what they get wrong all others build on;
the mean over the picture; and the last convolution, which gives the answer, with all the decoding.
Norms are folded into the convolutions before, and weights are put together in single precision, so
that each is rounded once.

For most processors onnxruntime has no such convolutions: there it computes them in single precision
and rounds only the weights. So how far the color moves is measured on another graph of the same
weights, which rounds as onnxruntime's CUDA provider does: the products of a convolution, summed in
single precision; their sum with the bias; and what each other operation answers.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import SharedWeights
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.int8 import Quantized, fold, mean_difference, tensors_of
from recolor_cli.training.compression.weight_storage import (
    HALF,
    INT8,
    NETWORK,
    SCALE,
    restored,
    store,
)
from recolor_cli.training.tracing import IR_VERSION

LIMIT = 0.2  # ab units: the most that the color may move on average
_COMPARED = 120  # pictures
_FIRST = 2  # convolutions that stay: they are small, and the default model then moves half as far
_HALF, _SINGLE = ".to_half", ".to_single"  # behind the names of what is cast
# What takes the time between convolutions. Others, such as norms that could not be folded, stay in
# single precision.
_OPERATIONS = {"Conv", "ConvTranspose", "Clip", "Relu", "Add", "Concat", "Resize", "MaxPool"}


def halve(model: Path, destination: Path, pictures: list[Picture]) -> Quantized:
    """Write a model file that computes in half precision what another computes in single precision.

    Parameters
    ----------
    model : Path
        One that `recolor export` wrote.
    destination : Path
        It appears only if the color moves by less than `LIMIT`. Beside the model it uses the
        weights that are stored there in 8 bits, in place; in another folder it has all its own.
    pictures : list of Picture
        To compare on.

    Returns
    -------
    Quantized

    Raises
    ------
    ModelError
        If the model is none, or cannot be halved without moving the color too far.
    UsageError
        If there is no picture, or the destination is the model itself.
    """
    if not pictures:
        raise UsageError("half precision is compared on pictures", "name some with --pictures")
    if destination.resolve() == model.resolve():
        raise UsageError(f"{destination} is the model itself", "choose another name with -o")
    network = OnnxColorNetwork.load(model, "cpu")
    manifest = network.manifest
    shown = list(tensors_of(manifest, pictures[:: -(-len(pictures) // _COMPARED)]))
    expected = [network.predict(tensor, manifest.temperature) for tensor in shown]
    is_beside = destination.resolve().parent == model.resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain"
        fold(model, plain)
        halved = onnx.load(plain)
        chosen = _chosen(halved.graph)
        _halve_nodes(halved.graph, chosen)
        _store(halved, model, is_beside)
        properties = manifest.to_properties()
        if is_beside:
            properties |= SharedWeights.of(model).to_properties()
            shutil.copyfile(model, Path(folder) / model.name)
        helper.set_model_props(halved, properties)
        _tidy(halved)
        candidate, rounding = Path(folder) / "candidate", Path(folder) / "rounding"
        candidate.write_bytes(halved.SerializeToString())
        rounding.write_bytes(_rounding(halved, chosen).SerializeToString())
        moves = []
        for path in (rounding, candidate):
            session = OnnxColorNetwork.load(path, "cpu")
            answers = [session.predict(tensor, manifest.temperature) for tensor in shown]
            moves.append(mean_difference(answers, expected))
        if not max(moves) < LIMIT:  # also when it is no number
            raise ModelError(
                f"{model} moves its color by {max(moves):.2f} ab units in half precision, more "
                f"than {LIMIT}",
                "use it as it is",
            )
        write_atomic(destination, candidate.read_bytes())
    kept = [node.name not in chosen for node in halved.graph.node if node.op_type == "Conv"]
    return Quantized(moves[0], sum(kept), len(kept))


def _chosen(graph: Any) -> set[str]:
    """Return the names of the nodes that are to compute in half precision."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    first = {node.name for node in convolutions[_FIRST:-1]}
    wanted = {name for node in convolutions[-1:] for name in node.input}
    made: set[str] = set()  # tensors, by a convolution in half precision or behind one
    behind = []
    for node in graph.node:
        if node.name in first or not made.isdisjoint(node.input):
            made.update(node.output)
            behind.append(node)
    given = {output.name for output in graph.output}
    chosen = set()
    for node in reversed(behind):
        if not wanted.isdisjoint(node.output):  # the last convolution builds on it
            wanted.update(node.input)
            if node.op_type in _OPERATIONS and given.isdisjoint(node.output):
                chosen.add(node.name)
    return chosen


def _half_inputs(node: Any) -> list[int]:
    """Return which inputs of such a node are in half precision: of Resize only the first one."""
    return [i for i, name in enumerate(node.input) if name and not (node.op_type == "Resize" and i)]


def _halve_nodes(graph: Any, chosen: set[str]) -> None:
    """Let the chosen nodes compute in half precision, with casts around them."""
    made = {name for node in graph.node if node.name in chosen for name in node.output}
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
                if node.input[i] not in made:
                    node.input[i] = cast(node.input[i], TensorProto.FLOAT16, _HALF)
        else:
            for i, name in enumerate(node.input):
                if name in made:
                    node.input[i] = cast(name, TensorProto.FLOAT, _SINGLE)
        nodes.append(node)
    _replace_nodes(graph, nodes)
    del graph.value_info[:]


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


def _tidy(model: Any) -> None:
    """Ask for no more than the exporter did; onnxruntime names all the operators that it knows."""
    model.ir_version = IR_VERSION
    used = {node.domain for node in model.graph.node}
    domains = [domain for domain in model.opset_import if domain.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(domains)


def _store(model: Any, source: Path, in_place: bool) -> None:
    """Store weights in as few bits as in the model file that they come from.

    Parameters
    ----------
    model : onnx.ModelProto
        With weights in single precision. A norm that is folded in changes the scales of what was
        stored in 8 bits, not the numbers.
    source : Path
        The file.
    in_place : bool
        Whether those numbers stay there, and only their place is noted.
    """
    graph = model.graph
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(source).graph.initializer]
    known = [array for array in arrays if array.dtype == np.int8]
    halved = {node.input[0] for node in graph.node if node.output[0] == node.input[0] + _HALF}
    stored = {}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.ndim < 2:
            continue
        parts = _in_8_bits(value, known)
        if not parts:
            with np.errstate(over="ignore"):  # the color will tell
                parts = {HALF: value.astype(np.float16)}
            if tensor.name not in halved and not np.array_equal(restored(parts), value):
                continue
        stored[tensor.name.removeprefix(NETWORK)] = parts
        tensor.CopyFrom(numpy_helper.from_array(restored(parts), tensor.name))
    store(model, stored)
    content = source.read_bytes() if in_place else b""
    for tensor in graph.initializer:
        place = content.find(tensor.raw_data) if tensor.data_type == TensorProto.INT8 else -1
        if place >= 0:
            set_external_data(tensor, source.name, place, len(tensor.raw_data))
            tensor.ClearField("raw_data")


def _in_8_bits(
    value: NDArray[np.float32], known: list[NDArray[np.int8]]
) -> dict[str, NDArray[Any]] | None:
    """Return numbers that are known and a scale for each output channel that make up a weight."""
    flat = value.reshape(len(value), -1)
    for number in known:
        if number.shape != value.shape:
            continue
        numbers = number.reshape(flat.shape).astype(np.float32)
        at = np.abs(numbers).argmax(axis=1)[:, None]
        largest = np.take_along_axis(numbers, at, 1)
        scale = np.take_along_axis(flat, at, 1) / np.where(largest == 0, 1, largest)
        error = np.abs(numbers * scale - flat).max(axis=1)
        if (error <= 1e-5 * np.abs(flat).max(axis=1)).all():
            return {INT8: number, SCALE: scale.reshape(-1, *[1] * (value.ndim - 1))}
    return None


def _rounding(model: Any, chosen: set[str]) -> Any:
    """Return a model that computes in single precision and rounds as a GPU does."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    axes = "rounding.axes"
    graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3]), axes))
    nodes: list[Any] = []

    def cast(name: str, kind: int, target: str) -> str:
        # onnxruntime takes such a pair out only where it has put it in itself.
        nodes.append(helper.make_node("Cast", [name], [target], to=kind))
        return target

    for node in graph.node:
        if node.name not in chosen:
            nodes.append(node)
            continue
        for i in _half_inputs(node):
            node.input[i] = cast(node.input[i], TensorProto.FLOAT, f"{node.name}.rounding.{i}")
        (answer,) = node.output
        exact = node.output[0] = f"{answer}.exact"
        nodes.append(node)
        if (
            node.op_type.startswith("Conv") and len(node.input) == 3
        ):  # the bias is a step of its own
            bias = node.input.pop()
            half = cast(exact, TensorProto.FLOAT16, f"{answer}.sum")
            single = cast(half, TensorProto.FLOAT, f"{answer}.sum.single")
            nodes.append(helper.make_node("Unsqueeze", [bias, axes], [f"{bias}.4d"]))
            exact = f"{answer}.biased"
            nodes.append(helper.make_node("Add", [single, f"{bias}.4d"], [exact]))
        cast(exact, TensorProto.FLOAT16, answer)
    _replace_nodes(graph, nodes)
    return result
