"""A model file on a device that has proved to work: the only user of onnxruntime.

onnxruntime lists CUDA as available whenever its package could use it, and falls back to the CPU
with a mere log line when a library is missing. So nothing counts here but a session that names CUDA
as its first provider and has answered once.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _ort_state

from recolor_cli.color.annealed_mean import Distribution, annealed_mean
from recolor_cli.errors import DeviceError, InferenceError, ModelError
from recolor_cli.model.foreign_profile import SUFFIX, Profile
from recolor_cli.model.manifest import Manifest, SharedWeights, find_model
from recolor_cli.system.device import Device, cpu_count, parse_device, why_no_driver
from recolor_cli.types import ColorSpace, FloatArray, ModelKind

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# onnxruntime's exceptions have no base class of their own.
_ORT_ERRORS = tuple(
    value
    for value in (*vars(_ort_state).values(), RuntimeError)  # what bindings raise
    if isinstance(value, type) and issubclass(value, Exception)
)
# The output of a model in 8 bits that stands for `logits`: these divided by the temperature, with
# the classes last (`recolor_cli.training.compression.int8`).
ANNEALED = "annealed_logits"
# Bytes of a GPU's memory that are kept for inputs. All shapes that a model of ours meets (15
# canvases, 1 to 16 pictures) take half of it.
_KEPT = 256 * 2**20
_CUDA_HINT = "install CUDA's libraries with pip install 'recolor-cli[cuda]', or use --device cpu"


class OnnxColorNetwork:
    """A color network that onnxruntime runs; safe to share between threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Made by `load`.
    manifest : Manifest
    device : str
        ``cpu`` or ``cuda:N``, as proved.
    cpu_reason : str
        Why it is not CUDA, where that would have been tried; else empty.
    profile : Profile or None
        Of a network that was made elsewhere.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        manifest: Manifest,
        device: str,
        cpu_reason: str = "",
        profile: Profile | None = None,
    ) -> None:
        self._session = session
        kind, number = parse_device(device)
        self._bound = _BoundSession(session, kind, number) if kind is Device.CUDA else None
        self.manifest = manifest
        self.device = device
        self.cpu_reason = cpu_reason
        self._profile = profile

    @classmethod
    def load(
        cls,
        model: str | Path,
        device: str = "auto",
        threads: int | None = None,
        profile: Profile | None = None,
    ) -> Self:
        """Open a model.

        Parameters
        ----------
        model : str or Path
            A name, as `recolor models` lists it, or the path of an ONNX file, or of the profile
            (``.toml``) of one that was made elsewhere. Of a name, the CPU takes the twin that
            computes in 8 bits, and CUDA the one that computes in 16, if there is one.
        device : str
            ``auto`` (CUDA where it works, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
        threads : int or None
            That one picture is computed with on the CPU; None takes all that there are.
        profile : Profile or None
            Of an ONNX file that was made elsewhere, where it lies in no file that names it.

        Raises
        ------
        ModelError
            If the model is missing, broken, or does not keep the contract of `Manifest`.
        DeviceError
            If CUDA is demanded and does not work.
        UsageError
            If there is no such kind of device.
        """
        path = graph = find_model(str(model))
        if path.suffix.lower() == SUFFIX:
            profile = Profile.load(path)
            graph = _graph_of(path, profile)
        kind, number = parse_device(device)
        reason = ""
        if kind is not Device.CPU:
            try:
                if not profile:
                    path = graph = find_model(str(model), bits=16)
                return cls._on_cuda(path, graph, number, profile)
            except DeviceError as error:
                if kind is Device.CUDA:
                    raise
                reason = error.message
        if not profile:
            path = graph = find_model(str(model), bits=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is an exception, too
        session = _open_session(graph, options, [_CPU])
        network = cls(session, _manifest_of(session, path, profile), "cpu", reason, profile)
        if profile:  # what it answers is not written down anywhere: ask once
            network._answer_once()
        return network

    @classmethod
    def _on_cuda(cls, path: Path, graph: Path, number: int, profile: Profile | None) -> Self:
        """Open a model on CUDA and let it answer once, or raise DeviceError with the reason."""
        if reason := why_no_cuda():
            raise DeviceError(reason, "install the card's driver, or use --device cpu")
        if profile is None:
            read_manifest(graph)  # what is wrong with the file is not CUDA's fault
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 2  # the reason for a fallback is a mere warning
        # Nothing else is set: cudnn_conv_use_max_workspace is read by builds for cuDNN 8 alone, and
        # what prefer_nhwc and fuse_conv_bias do here has not been measured.
        provider = (
            _CUDA,
            {
                "device_id": str(number),
                # The default takes longer to plan a new shape: with cuDNN 8 it tries every
                # algorithm, for minutes; with cuDNN 9 it asks a slower heuristic.
                "cudnn_conv_algo_search": "HEURISTIC",
                # Memory that is needed, and not up to twice of it: others may use the card, too.
                "arena_extend_strategy": "kSameAsRequested",
            },
        )
        with captured_output() as captured:
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            session = _open_session(graph, options, [provider, _CPU])
        if session.get_providers()[0] != _CUDA:
            raise DeviceError(f"CUDA does not work: {_first_reason(captured)}", _CUDA_HINT)
        manifest = _manifest_of(session, path, profile)
        network = cls(session, manifest, f"cuda:{number}", profile=profile)
        try:
            with captured_output():
                network._answer_once()
        except InferenceError as error:
            raise DeviceError(f"CUDA does not work: {error.message}", _CUDA_HINT) from error
        return network

    def _answer_once(self) -> None:
        size = self.manifest.size
        self.predict(np.zeros((1, 1, size, size), np.float32), self.manifest.temperature)

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict` promises.

        Raises
        ------
        InferenceError
            If onnxruntime fails, for want of memory for example.
        """
        feeds: dict[str, Any] = {"lightness": lightness}
        output = "ab"
        if self._profile:
            node = self._session.get_inputs()[0]
            half = node.type == "tensor(float16)"
            tensor = self._profile.encode(lightness)
            feeds = {node.name: tensor.astype(np.float16) if half else tensor}
            output = self._profile.output_of([node.name for node in self._session.get_outputs()])
        elif self.manifest.kind is ModelKind.CLASSIFICATION:
            feeds["temperature"] = np.array(temperature, np.float32)
        (answer,) = self._run([output], feeds)
        return self._profile.decode(answer, temperature) if self._profile else answer

    def require_distribution(self) -> None:
        """Check, without running it, that `distribution` has something to return.

        Raises
        ------
        ModelError
            If the model has no distribution over bins of the ab plane.
        """
        manifest = self.manifest
        if (
            self._profile
            or manifest.kind is not ModelKind.CLASSIFICATION
            or manifest.space is not ColorSpace.LAB
        ):
            raise ModelError(
                f"the model {manifest.name} gives one color, not a choice of colors",
                "use a classification model of ours, such as poster",
            )

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return what `predict` decodes, as `DistributionNetwork` promises.

        Raises
        ------
        ModelError
            If the model has no distribution over bins of the ab plane.
        InferenceError
            As `predict`.
        """
        self.require_distribution()
        manifest = self.manifest
        feeds = {
            "lightness": lightness,
            "temperature": np.array(manifest.temperature, np.float32),
        }
        if ANNEALED in (node.name for node in self._session.get_outputs()):
            ab, annealed = self._run(["ab", ANNEALED], feeds)
            logits = np.moveaxis(annealed * feeds["temperature"], -1, 1)
        else:
            ab, logits = self._run(["ab", "logits"], feeds)
        # A graph may scale what it decodes (the gate for photographs), one factor a picture.
        plain = annealed_mean(logits, manifest.bins, manifest.temperature)
        square = np.square(plain).sum(axis=(1, 2, 3))
        factor = (ab * plain).sum(axis=(1, 2, 3)) / np.maximum(square, np.float32(1e-12))
        return Distribution(logits, manifest.bins, factor)

    def _run(self, outputs: list[str], feeds: dict[str, Any]) -> list[FloatArray]:
        try:
            run = self._bound.run if self._bound else self._session.run
            answers: list[FloatArray] = run(outputs, feeds)
        except _ORT_ERRORS as error:
            raise InferenceError(
                f"the network failed: {_one_line(str(error))}", "try --device cpu, or fewer --jobs"
            ) from error
        return answers


class _BoundSession:
    """A session whose inputs and outputs lie in a device's memory; safe to share between threads.

    Inputs go into buffers that are kept from run to run, some for each shape and each thread that
    asks at the same time. Of the outputs only those that are asked for are copied to the host.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    kind : Device
        ``cuda``; in tests ``cpu``.
    number : int
    """

    def __init__(self, session: onnxruntime.InferenceSession, kind: Device, number: int) -> None:
        self._session = session
        self._place = str(kind), number
        self._free: list[_Buffers] = []  # that nobody uses now, the last used one last
        self._lock = threading.Lock()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[FloatArray]:
        """Return some outputs, as the session's own `run`; raises one of `_ORT_ERRORS`."""
        buffers = self._take(feeds)
        binding = self._session.io_binding()
        for name, array in feeds.items():
            buffers.values[name].update_inplace(array)  # it is there when this returns
            # Each time anew: what a model wants in another place is copied there by this.
            binding.bind_ortvalue_input(name, buffers.values[name])
        for name in outputs:
            binding.bind_output(name, *self._place)
        self._session.run_with_iobinding(binding)  # waits for the device
        answers = [value.numpy() for value in binding.get_outputs()]
        with self._lock:
            self._free.append(buffers)
            while sum(kept.size for kept in self._free) > _KEPT:
                del self._free[0]
        return answers

    def _take(self, feeds: Mapping[str, NDArray[Any]]) -> _Buffers:
        """Return buffers for such inputs that are this thread's alone."""
        key = {name: (array.shape, array.dtype) for name, array in feeds.items()}
        with self._lock:
            for i in reversed(range(len(self._free))):
                if self._free[i].key == key:
                    return self._free.pop(i)
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, *self._place)
            for name, (shape, dtype) in key.items()
        }
        return _Buffers(key, values, sum(array.nbytes for array in feeds.values()))


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Memory of a device for the inputs of a run."""

    key: dict[str, tuple[tuple[int, ...], Any]]  # shapes and types, by the inputs' names
    values: dict[str, onnxruntime.OrtValue]
    size: int  # bytes


def read_manifest(path: Path) -> Manifest:
    """Return what a model file says of itself, after checking it against the graph.

    Raises
    ------
    ModelError
        As `OnnxColorNetwork.load`.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = _open_session(path, options, [_CPU])
    return _checked_manifest(session, path)


def available_providers() -> list[str]:
    """Return what this onnxruntime was built with, whether it works here or not."""
    return list(onnxruntime.get_available_providers())


def why_no_cuda() -> str:
    """Return why CUDA cannot work, as far as that shows without trying; empty if it may."""
    if _CUDA not in available_providers():
        return "the installed onnxruntime has no CUDA provider"
    return why_no_driver()


def _open_session(
    path: Path, options: onnxruntime.SessionOptions, providers: list[Any]
) -> onnxruntime.InferenceSession:
    """Return a session; onnxruntime's own retry on the CPU, which prints to stdout, is off."""
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=providers, enable_fallback=0
        )
    except _ORT_ERRORS as error:
        if len(providers) > 1 and not isinstance(
            error, (_ort_state.InvalidProtobuf, _ort_state.InvalidGraph, _ort_state.NoSuchFile)
        ):
            raise DeviceError(f"CUDA does not work: {_one_line(str(error))}", _CUDA_HINT) from error
        raise ModelError(
            f"{path} cannot be loaded as a model: {_one_line(str(error))}",
            "copy it again, with all files beside it that it needs, or export it again",
        ) from error


def _graph_of(path: Path, profile: Profile) -> Path:
    """Return the ONNX file that a profile names."""
    graph = path.parent / profile.file
    if not profile.file:
        raise ModelError(f"{path} names no file", 'add file = "theirs.onnx"')
    if not graph.is_file():
        raise ModelError(
            f"{path} names {profile.file}, which is not there",
            f"put {profile.file} beside {path.name}",
        )
    if graph.suffix.lower() != ".onnx":
        raise ModelError(
            f"{path} names {profile.file}, which is no ONNX file",
            f"make a model of it: recolor export {graph} NEW.onnx --profile {path}",
        )
    return graph


def _manifest_of(
    session: onnxruntime.InferenceSession, path: Path, profile: Profile | None
) -> Manifest:
    """Return the manifest of a session, ours or by a profile, after checking it."""
    if profile is None:
        return _checked_manifest(session, path)
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise ModelError(
            f"{profile.file} has {len(inputs)} inputs ({names}); a profile maps just one",
            "export it so that the others are constants",
        )
    profile.output_of([node.name for node in session.get_outputs()])
    if fault := profile.fault_of(inputs[0].shape, inputs[0].type):
        raise ModelError(f"{path} does not fit {profile.file}: {fault}", "change the profile")
    return profile.manifest(path.stem)


def _checked_manifest(session: onnxruntime.InferenceSession, path: Path) -> Manifest:
    """Return the manifest of a session whose graph keeps to it."""
    properties = session.get_modelmeta().custom_metadata_map
    manifest = Manifest.from_properties(properties, path)
    SharedWeights.check(properties, path)
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    faults = []
    if len(inputs.get("lightness", ())) != 4 or inputs["lightness"][1] != 1:
        faults.append("no input lightness of shape (N, 1, H, W)")
    if len(outputs.get("ab", ())) != 4 or outputs["ab"][1] != 2:
        faults.append("no output ab of shape (N, 2, h, w)")
    expected = {"lightness"}
    if manifest.kind is ModelKind.CLASSIFICATION:
        expected.add("temperature")
        logits, annealed = outputs.get("logits", ()), outputs.get(ANNEALED, ())
        axes = [shape[axis] for shape, axis in ((logits, 1), (annealed, 3)) if len(shape) == 4]
        if axes != [len(manifest.centers)]:
            faults.append(f"no output logits with {len(manifest.centers)} channels")
    if inputs.keys() != expected:
        faults.append(f"inputs {', '.join(inputs)} instead of {', '.join(sorted(expected))}")
    if faults:
        raise ModelError(
            f"{path}: graph and manifest disagree: {'; '.join(faults)}",
            "use a model that `recolor export` made",
        )
    return manifest


_capture_lock = threading.Lock()


@contextlib.contextmanager
def captured_output() -> Iterator[list[str]]:
    """Keep what libraries print off our stdout and stderr; the list then has its lines.

    onnxruntime prints some failures to stdout, where only data may go, and others to stderr; torch
    prints a graph that it cannot translate. Not to be entered twice at the same time by one thread.
    """
    lines: list[str] = []
    with _capture_lock, contextlib.ExitStack() as stack:  # the streams are the whole process's
        file = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or none
                stream.flush()
        for descriptor in (1, 2):  # what native code writes to
            with contextlib.suppress(OSError):  # closed: then nothing can be printed there
                saved = os.dup(descriptor)
                stack.callback(os.close, saved)
                stack.callback(os.dup2, saved, descriptor)
                os.dup2(file.fileno(), descriptor)
        # What Python code writes to, which need not be the same.
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        try:
            yield lines
        finally:
            file.flush()
            file.seek(0)
            lines += file.read().splitlines()


def _first_reason(lines: list[str]) -> str:
    """Return what a log says of a library that could not be loaded, or its first line."""
    for line in lines:
        if match := re.search(r"lib[\w.+-]+\.so[\w.]*: cannot open shared object file", line):
            return match[0]
    return _one_line(lines[0]) if lines else "onnxruntime gave no reason"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
