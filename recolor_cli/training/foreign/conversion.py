"""Write foreign networks, ONNX files and Keras models, as self-describing model files.

Each becomes an ONNX graph, gets the conversions of its profile at both ends, and is compared with
the answers of its own framework, converted by `ForeignProfile.prepare_input` and
`ForeignProfile.convert_output`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from recolor_cli.errors import InferenceError, ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.texts import counted
from recolor_cli.training.foreign import keras_loading
from recolor_cli.training.foreign.keras_loading import keras_on_cpu, load_keras
from recolor_cli.training.foreign.profile_graph import add_profile, graphs_in, input_of
from recolor_cli.training.parity import TOLERANCE, Parity, make_inputs, write_verified
from recolor_cli.training.tracing import trace
from recolor_cli.types import FloatArray, ModelKind

_ONNX = ".onnx"
_MAX_BYTES = 2**31 - 1  # of a protobuf file
# ab units. Between 64 and 128, half precision has steps of 1/16, and onnxruntime rounds to it at
# other places of a graph when the graph becomes a part of a larger one.
HALF_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class _Original:
    """A foreign network."""

    graph: Any  # onnx.ModelProto
    profile: ForeignProfile  # of the size that the graph takes
    output: str  # the output of the graph that the profile means
    # From L* (N, 1, H, W), 0..100, and a temperature to ab (N, 2, h, w), in its own framework.
    predict: Callable[[FloatArray, float], FloatArray]
    framework: str  # for messages


def export_foreign(
    source: Path, profile: ForeignProfile, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write a foreign network as a model file.

    Parameters
    ----------
    source : Path
        ONNX (``.onnx``) or a Keras model (``.keras``, ``.h5``, ``.hdf5``). No code in it is run:
        Keras models are loaded in safe mode.
    profile : ForeignProfile
        Maps the network's input and output to ours; the file that it names is ignored.
    destination : Path
        The ``.onnx`` file; appears only if it gives the same colors as the network. It takes any
        number of pictures at a time if the network does, else one.
    pictures : list of Picture
        Real pictures to compare on, besides noise.

    Raises
    ------
    ModelError
        If the file is missing or broken, does not fit the profile, cannot be converted to ONNX, or
        its answers then differ by more than `TOLERANCE` (`HALF_TOLERANCE` if it computes in half
        precision).
    UsageError
        If the file is of another kind, Keras is not installed, or there is no picture to compare
        on.
    """
    if not os.path.isfile(source):
        raise ModelError(f"no file {source}", "check the path")
    profile = replace(profile, file=str(source))
    original = _open(source, profile)
    profile = original.profile
    # Fail before the conversion if the network does not accept the profile's input.
    original.predict(np.full((1, 1, profile.size, profile.size), 50, np.float32), 1.0)
    if (size := _count_weight_bytes(original.graph)) > _MAX_BYTES:
        raise ModelError(
            f"{source} has {size / 1e9:.1f} GB of weights; one ONNX file holds 2",
            "convert them to half precision first",
        )
    tolerance = HALF_TOLERANCE if _computes_in_half(original.graph) else TOLERANCE
    manifest = _make_manifest(profile, source, destination)
    model = add_profile(original.graph, original.output, profile, manifest)
    takes_any_count = not model.graph.input[0].type.tensor_type.shape.dim[0].dim_value

    def compare(session: OnnxColorNetwork) -> Parity:
        inputs = make_inputs(manifest, _noise_shapes(manifest, takes_any_count), pictures)
        differences = [
            _max_difference(original, session, lightness, temperature, source)
            for lightness in inputs
            for temperature in (manifest.temperature, 1.0)
        ]
        # numpy's max, unlike Python's, is NaN as soon as one value is.
        difference = float(np.max(differences))
        return Parity(len(inputs), difference, framework=original.framework, tolerance=tolerance)

    return write_verified(model, manifest, destination, pictures, compare)


def _make_manifest(profile: ForeignProfile, source: Path, destination: Path) -> Manifest:
    bins = profile.ab_bins.centers.tolist() if profile.is_distribution else []
    return replace(
        profile.to_manifest(destination.stem),
        kind=ModelKind.CLASSIFICATION if bins else ModelKind.REGRESSION,
        centers=tuple((a, b) for a, b in bins),
        prior=tuple(1 / len(bins) for _ in bins),  # unknown, as for a state dict
        training={"version": metadata.version("recolor-cli"), "made_from": source.name},
    )


def _noise_shapes(manifest: Manifest, takes_any_count: bool) -> list[tuple[int, int, int]]:
    """Return shapes (N, H, W) that the network must accept."""
    side, stride = manifest.size, manifest.stride
    shapes = [(1, side, side)]
    if takes_any_count:
        shapes += [(2, side, side), (3, side, side)]
    if side > stride:
        count = 2 if takes_any_count else 1
        shapes += [(count, side, side - stride), (count, stride, side)]
    return shapes


def _max_difference(
    original: _Original,
    session: OnnxColorNetwork,
    lightness: FloatArray,
    temperature: float,
    source: Path,
) -> float:
    """Return the largest difference of ab between a network and its model file."""
    try:
        expected = original.predict(lightness, temperature)
        answer = session.predict(lightness, temperature)
    except InferenceError as error:
        raise ModelError(
            f"{source} does not accept {counted(len(lightness), 'picture')} of "
            f"{lightness.shape[3]}x{lightness.shape[2]}: {error.message}",
            "correct size and stride in the profile",
        ) from error
    if answer.shape != expected.shape:
        raise ModelError(
            f"{source} answers with shape {expected.shape}, in ONNX {answer.shape}",
            "correct size and stride in the profile",
        )
    return float(np.abs(answer - expected).max())


def _count_weight_bytes(model: Any) -> int:
    """Return the size of a network's weights. protobuf cannot, of a model that it cannot write."""
    return sum(
        math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for graph in graphs_in(model.graph)
        for tensor in graph.initializer
    )


def _computes_in_half(model: Any) -> bool:
    """Return whether a network computes in half precision, and does not only store weights so."""
    half = onnx.TensorProto.FLOAT16
    graphs = list(graphs_in(model.graph))
    stored = {t.name for graph in graphs for t in graph.initializer if t.data_type == half}
    nodes = [node for graph in graphs for node in graph.node if node.op_type != "Cast"]
    return input_of(model).type.tensor_type.elem_type == half or any(
        not stored.isdisjoint(node.input) for node in nodes
    )


def _open(source: Path, profile: ForeignProfile) -> _Original:
    suffix = source.suffix.lower()
    if suffix == _ONNX:
        return _open_onnx(source, profile)
    if suffix in keras_loading.SUFFIXES:
        return _open_keras(source, profile)
    known = ", ".join((_ONNX, *keras_loading.SUFFIXES))
    raise UsageError(
        f"{source} is not a kind of file that a profile can describe ({known})",
        "export it to ONNX; a state dict takes --architecture instead of --profile",
    )


def _open_onnx(source: Path, profile: ForeignProfile) -> _Original:
    session = OnnxColorNetwork.load(source, "cpu", profile=profile)  # checks the fit, too
    profile = session.profile or profile
    try:
        graph = onnx.load(source)
    except Exception as error:  # such as of weights in another file
        raise _unreadable(source, "ONNX file", error, "make it again") from error
    output = profile.select_output([node.name for node in graph.graph.output])
    if not session.takes_several():  # the shape in the file may promise it
        input_of(graph).type.tensor_type.shape.dim[0].dim_value = 1
    return _Original(graph, profile, output, session.predict, "the ONNX file as it came")


def _open_keras(source: Path, profile: ForeignProfile) -> _Original:
    keras = load_keras()
    model = _load_keras_model(keras, source)
    inputs = getattr(model, "inputs", None) or []  # a model that was never called has none
    if len(inputs) != 1:
        raise ModelError(
            f"{source} has {counted(len(inputs), 'input')}; a profile maps just one",
            "wrap it in a network of one input that computes the others",
        )
    shape = inputs[0].shape
    profile = profile.fit_size(shape)
    if fault := profile.find_mismatch(shape, "tensor(float)"):
        raise ModelError(f"the profile does not fit {source}: {fault}", "change the profile")
    module = _KerasModule(keras, model).eval()
    example = torch.zeros(profile.input_shape(1 if shape[0] else 2))
    answers = _run(module, example, source)
    # A Sequential, which has one output, has no names.
    names = getattr(model, "output_names", ()) or [str(number) for number in range(len(answers))]
    output = list(names).index(profile.select_output(names))
    outputs = [f"answer_{number}" for number in range(len(answers))]
    free = {} if shape[0] else {0: "N"}
    if profile.stride:
        free |= dict(zip(profile.spatial_axes, ("H", "W"), strict=True))
    try:
        graph = trace(module, {"input": example}, outputs, {"input": free})
    except Exception as error:  # torch names no common class
        raise ModelError(
            f"{source} cannot be converted to ONNX: {_shorten(error)}",
            "export it to ONNX with Keras, and give that file",
        ) from error

    def predict(lightness: FloatArray, temperature: float) -> FloatArray:
        tensor = torch.from_numpy(profile.prepare_input(lightness))
        answer = _run(module, tensor, source)[output].numpy()
        return profile.convert_output(answer, temperature, lightness)

    return _Original(graph, profile, outputs[output], predict, "Keras")


def _load_keras_model(keras: Any, source: Path) -> Any:
    try:
        with keras_on_cpu(keras):
            return keras.saving.load_model(source, compile=False, safe_mode=True)
    except Exception as error:  # Keras names no common class
        if "safe_mode" in str(error):  # its message is left out: it says how to run the code
            raise ModelError(
                f"{source} holds code, such as that of a Lambda layer, which is not run",
                "build the model of Keras' own layers, and load these weights into it",
            ) from error
        raise _unreadable(
            source, "Keras model", error, "make it again, of Keras' own layers"
        ) from error


class _KerasModule(nn.Module):
    """A Keras model as a torch module: tensor in, tensors out."""

    def __init__(self, keras: Any, model: Any) -> None:
        super().__init__()
        self.keras = keras
        self.model = model

    def forward(self, tensor: Tensor) -> tuple[Tensor, ...]:
        with keras_on_cpu(self.keras):
            return tuple(self.keras.tree.flatten(self.model(tensor, training=False)))


def _run(module: _KerasModule, tensor: Tensor, source: Path) -> tuple[Tensor, ...]:
    """Return all outputs of a Keras model."""
    try:
        with torch.no_grad():
            outputs: tuple[Tensor, ...] = module(tensor)
            return outputs
    except Exception as error:  # whatever a layer raises
        raise ModelError(
            f"{source} does not accept the shape {tuple(tensor.shape)}: {_shorten(error)}",
            "correct size, stride, channels or channels_last in the profile",
        ) from error


def _unreadable(source: Path, kind: str, error: Exception, hint: str) -> ModelError:
    return ModelError(f"{source} cannot be read as {kind}: {_shorten(error)}", hint)


def _shorten(error: Exception) -> str:
    """Return the message of a large library's exception on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:200]} ... {text[-200:]}"
