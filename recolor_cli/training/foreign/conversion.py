"""Networks of other frameworks, as model files that describe themselves.

Each kind of file becomes an ONNX graph, gets what its profile says around it, and is compared with
the answers that its own framework gives by `ForeignProfile.prepare_input` and `convert_output`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.capture import capture_output
from recolor_cli.training.export import TOLERANCE, Parity, probes, trace, write_proved
from recolor_cli.training.foreign import keras_loading
from recolor_cli.training.foreign.keras_loading import keras_on_cpu, load_keras
from recolor_cli.training.foreign.profile_graph import describe, graphs_in, input_of
from recolor_cli.types import FloatArray, ModelKind

_TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript")
_EXPORTED = (".pt2",)
_ONNX = (".onnx",)
_MOST_BYTES = 2**31 - 1  # of a file of protobuf
# ab units. Between 64 and 128 half precision knows steps of 1/16, and onnxruntime rounds to it in
# other places of a graph when that stands in a larger one.
HALF_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class _Original:
    """A network as it came.

    Parameters
    ----------
    graph : onnx.ModelProto
        The same in ONNX.
    output : str
        Which of the graph's outputs is the answer.
    predict : callable
        From L* (N, 1, H, W), 0..100, and a temperature to ab (N, 2, h, w), by the profile, computed
        in the network's own framework.
    framework : str
        Its name.
    """

    graph: Any
    output: str
    predict: Callable[[FloatArray, float], FloatArray]
    framework: str


def export_foreign(
    source: Path,
    profile: ForeignProfile,
    destination: Path,
    pictures: list[Picture],
    trust: bool = False,
) -> Parity:
    """Write a network made elsewhere as a model file.

    Parameters
    ----------
    source : Path
        ONNX (``.onnx``), TorchScript (``.pt``, ``.pth``, ``.ts``, ``.torchscript``), an exported
        program (``.pt2``) or a Keras model (``.keras``, ``.h5``, ``.hdf5``).
    profile : ForeignProfile
        How its input and output map onto ours; the file that it names is not looked at.
    destination : Path
        The ``.onnx`` file; it appears only if the parity holds.
    pictures : list of Picture
        Real pictures to compare on, besides random noise.
    trust : bool
        Load TorchScript or an exported program, though both can run code that is in the file. The
        other kinds run none, with it or without.

    Returns
    -------
    Parity
        With what the network answers in its own framework, by the profile.

    Raises
    ------
    ModelError
        If the file is missing or none of its kind, does not fit the profile, cannot be turned into
        ONNX, or answers differently there, by more than `export.TOLERANCE` (`HALF_TOLERANCE` if it
        computes in half precision).
    UsageError
        If there is no such kind of file, Keras is not installed, there is no picture to compare on,
        or TorchScript or an exported program is not trusted.

    Notes
    -----
    Weights stay as they are. TorchScript is a program, which can write any file as soon as it is
    loaded. Keras models are loaded in its safe mode, which refuses code of their own. The file
    takes any number of pictures at a time if the network does, else one.
    """
    if not source.is_file():
        raise ModelError(f"no file {source}", "check the path")
    profile = replace(profile, file=str(source))
    original = _open(source, profile, trust)
    original.predict(np.full((1, 1, profile.size, profile.size), 50, np.float32), 1.0)  # it fits

    bins = profile.ab_bins.centers.tolist() if profile.is_distribution else []
    manifest = replace(
        profile.to_manifest(destination.stem),
        kind=ModelKind.CLASSIFICATION if bins else ModelKind.REGRESSION,
        centers=tuple((a, b) for a, b in bins),
        prior=tuple(1 / len(bins) for _ in bins),  # as for a state dict: nobody knows it
        training={"version": metadata.version("recolor-cli"), "made_from": source.name},
    )
    if (size := _bytes_of_weights(original.graph)) > _MOST_BYTES:
        raise ModelError(
            f"{source} has {size / 1e9:.1f} GB of weights; one ONNX file holds 2",
            "convert them to half precision first",
        )
    half = _is_half(original.graph)
    model = describe(original.graph, original.output, profile, manifest)
    any_count = not model.graph.input[0].type.tensor_type.shape.dim[0].dim_value

    def compare(session: OnnxColorNetwork) -> Parity:
        side, stride = manifest.size, manifest.stride
        shapes = [(1, side, side)]
        if any_count:
            shapes += [(2, side, side), (3, side, side)]
        if side > stride:
            count = 2 if any_count else 1
            shapes += [(count, side, side - stride), (count, stride, side)]
        tensors = probes(manifest, shapes, pictures)
        differences = []
        for tensor in tensors:
            for temperature in (manifest.temperature, 1.0):
                try:
                    expected = original.predict(tensor, temperature)
                    answer = session.predict(tensor, temperature)
                except InferenceError as error:
                    raise ModelError(
                        f"{source} cannot be given {len(tensor)} pictures of "
                        f"{tensor.shape[3]}x{tensor.shape[2]}: {error.message}",
                        "correct size and stride in the profile",
                    ) from error
                if answer.shape != expected.shape:
                    raise ModelError(
                        f"{source} answers with shape {expected.shape}, in ONNX {answer.shape}",
                        "correct size and stride in the profile",
                    )
                differences.append(np.abs(answer - expected).max())
        return Parity(
            len(tensors),
            float(np.max(differences)),  # numpy's is no number as soon as one is none
            framework=original.framework,
            tolerance=HALF_TOLERANCE if half else TOLERANCE,
        )

    return write_proved(model, manifest, destination, pictures, compare)


def _bytes_of_weights(model: Any) -> int:
    """Return how large a network is; protobuf itself cannot tell of what it cannot write."""
    return sum(
        math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for graph in graphs_in(model.graph)
        for tensor in graph.initializer
    )


def _is_half(model: Any) -> bool:
    """Return whether a network computes in half precision; it need not if it is stored so."""
    half = onnx.TensorProto.FLOAT16
    graphs = list(graphs_in(model.graph))
    stored = {t.name for graph in graphs for t in graph.initializer if t.data_type == half}
    nodes = [node for graph in graphs for node in graph.node if node.op_type != "Cast"]
    return input_of(model).type.tensor_type.elem_type == half or any(
        not stored.isdisjoint(node.input) for node in nodes
    )


def _open(source: Path, profile: ForeignProfile, trust: bool) -> _Original:
    suffix = source.suffix.lower()
    if suffix in _ONNX:
        return _open_onnx(source, profile)
    if suffix in keras_loading.SUFFIXES:
        return _open_keras(source, profile)
    if suffix in (*_TORCHSCRIPT, *_EXPORTED):
        if not trust:
            raise UsageError(
                f"loading {source} can run code that is in it; torch has no safe way to do so",
                "export it to ONNX where it was made, or say --trust if you know where it is from; "
                "a state dict takes --architecture instead of --profile",
            )
        if suffix in _TORCHSCRIPT:
            return _open_torchscript(source, profile)
        return _open_exported(source, profile)
    known = ", ".join((*_ONNX, *_TORCHSCRIPT, *_EXPORTED, *keras_loading.SUFFIXES))
    raise UsageError(f"{source} is of no kind that has a profile", f"there are: {known}")


def _open_onnx(source: Path, profile: ForeignProfile) -> _Original:
    session = OnnxColorNetwork.load(source, "cpu", profile=profile)  # checks that they fit, too
    try:
        graph = onnx.load(source)
    except Exception as error:  # such as of weights in a file beside it
        raise _unreadable(source, "ONNX file", error) from error
    output = profile.select_output([node.name for node in graph.graph.output])
    if not _takes_two(session, profile):  # whatever it says of itself
        input_of(graph).type.tensor_type.shape.dim[0].dim_value = 1
    return _Original(graph, output, session.predict, "the ONNX file as it came")


def _takes_two(session: OnnxColorNetwork, profile: ForeignProfile) -> bool:
    """Return whether a network answers for two pictures at a time."""
    gray = np.full((2, 1, profile.size, profile.size), 50, np.float32)
    try:
        return len(session.predict(gray, 1.0)) == len(gray)
    except (InferenceError, ModelError):  # it fails, or answers with other channels
        return False


def _open_torchscript(source: Path, profile: ForeignProfile) -> _Original:
    try:
        with warnings.catch_warnings(), capture_output():  # as below
            warnings.filterwarnings("ignore", "`torch.jit.load` is", DeprecationWarning)
            module: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(source), map_location="cpu"
            ).eval()
    except Exception as error:  # torch names no common class for what can be wrong in a file
        raise _unreadable(
            source, "TorchScript", error, "for a state dict say --architecture instead of --profile"
        ) from error
    count = 2  # TorchScript does not say how many it takes: ask
    try:
        answers = _answers(module, torch.zeros(profile.input_shape(count)), source)
        if any(len(answer) != count for answer in answers):
            count = 1
    except ModelError:
        count = 1
    return _traced(module, profile, count, "torch", source)


def _open_exported(source: Path, profile: ForeignProfile) -> _Original:
    try:
        with _silent("torch.export"):  # it logs with a traceback what it raises
            program = torch.export.load(source)
        module = program.module()
        inputs = set(program.graph_signature.user_inputs)
        nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
        shapes = [node.meta["val"].shape for node in nodes if node.name in inputs]
    except Exception as error:  # as above
        raise _unreadable(source, "exported program", error) from error
    # What is free is a symbol there, and no int.
    shape = [size if isinstance(size, int) else None for size in _only_input(source, shapes)]
    _check_input(shape, profile)
    return _traced(module, profile, 1 if shape[0] else 2, "torch", source)


def _open_keras(source: Path, profile: ForeignProfile) -> _Original:
    keras = load_keras()
    try:
        with keras_on_cpu(keras):
            model = keras.saving.load_model(source, compile=False, safe_mode=True)
    except Exception as error:  # Keras names no common class either
        if "safe_mode" in str(error):  # its own words are left out: they say how to run the code
            raise ModelError(
                f"{source} holds code, such as that of a Lambda layer, which is not run",
                "build the model of Keras' own layers, and give it these weights",
            ) from error
        raise _unreadable(
            source, "Keras model", error, "make it again, of Keras' own layers"
        ) from error
    inputs = getattr(model, "inputs", None) or []  # one that was never called knows of none
    shape = _only_input(source, [node.shape for node in inputs])
    _check_input(shape, profile)
    module = _KerasModule(keras, model).eval()
    names = getattr(model, "output_names", ())  # a Sequential, of one output, has none
    return _traced(module, profile, 1 if shape[0] else 2, "Keras", source, names)


class _KerasModule(nn.Module):
    """A Keras model as torch sees modules: tensor in, tensors out."""

    def __init__(self, keras: Any, model: Any) -> None:
        super().__init__()
        self.keras = keras
        self.model = model

    def forward(self, tensor: Tensor) -> tuple[Tensor, ...]:
        with keras_on_cpu(self.keras):
            return tuple(self.keras.tree.flatten(self.model(tensor, training=False)))


@contextlib.contextmanager
def _silent(logger: str) -> Iterator[None]:
    level = logging.getLogger(logger).level
    logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger(logger).setLevel(level)


def _traced(
    module: Any,
    profile: ForeignProfile,
    count: int,
    framework: str,
    source: Path,
    names: Sequence[str] = (),
) -> _Original:
    """Trace what torch computes; `count` is 1 where it takes no other number of pictures."""
    example = torch.zeros(profile.input_shape(count))
    answers = _answers(module, example, source)
    names = names or [str(number) for number in range(len(answers))]
    output = names.index(profile.select_output(names))
    outputs = [f"answer_{number}" for number in range(len(answers))]
    free = {0: "N"} if count > 1 else {}
    if profile.stride:
        free |= dict(zip(profile.spatial_axes, ("H", "W"), strict=True))
    try:
        graph = trace(module, {"input": example}, outputs, {"input": free})
    except Exception as error:  # whatever an operator's translation raises
        raise ModelError(
            f"{source} cannot be turned into ONNX: {_in_short(error)}",
            "export it to ONNX where it was made, and give that file",
        ) from error

    def predict(lightness: FloatArray, temperature: float) -> FloatArray:
        tensor = torch.from_numpy(profile.prepare_input(lightness))
        return profile.convert_output(_answers(module, tensor, source)[output].numpy(), temperature)

    return _Original(graph, outputs[output], predict, framework)


def _answers(module: Any, tensor: Tensor, source: Path) -> tuple[Tensor, ...]:
    """Return what a network of torch answers, all of it."""
    try:
        # TorchScript keeps constants, which in inference_mode spoil a trace; and it may print.
        with torch.no_grad(), capture_output():
            answer = module(tensor)
    except Exception as error:  # whatever a layer raises
        raise ModelError(
            f"{source} cannot be given the shape {tuple(tensor.shape)}: {_in_short(error)}",
            "correct size, stride, channels or channels_last in the profile",
        ) from error
    answers = tuple(answer) if isinstance(answer, (tuple, list)) else (answer,)
    if not all(isinstance(part, Tensor) for part in answers):
        raise ModelError(
            f"{source} answers with a {type(answer).__name__}, not with tensors",
            "give it a forward that returns just the color",
        )
    return answers


def _only_input(source: Path, shapes: Sequence[Any]) -> Any:
    if len(shapes) != 1:
        raise ModelError(
            f"{source} has {len(shapes)} inputs; a profile maps just one",
            "build one network of one input, which computes the others, of all",
        )
    return shapes[0]


def _check_input(shape: Sequence[int | None], profile: ForeignProfile) -> None:
    if fault := profile.find_mismatch(shape, "tensor(float)"):
        raise ModelError(f"the profile does not fit {profile.file}: {fault}", "change the profile")


def _unreadable(source: Path, kind: str, error: Exception, hint: str = "") -> ModelError:
    return ModelError(
        f"{source} cannot be read as {kind}: {_in_short(error)}", hint or "make it again"
    )


def _in_short(error: Exception) -> str:
    """Return what an exception of a large library says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:200]} ... {text[-200:]}"
