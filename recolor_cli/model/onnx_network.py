"""Run a model file with ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from recolor_cli.color.annealed_mean import Distribution, annealed_mean
from recolor_cli.errors import DeviceError, InferenceError, ModelError
from recolor_cli.model.cuda import BoundSession, open_cuda_session, why_no_cuda
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.manifest import Manifest, no_distribution
from recolor_cli.model.model_files import ModelFiles, find_files
from recolor_cli.model.session import (
    CUDA_HINT,
    ORT_ERRORS,
    one_line,
    open_cpu_session,
    open_unoptimized,
)
from recolor_cli.system.capture import capture_output
from recolor_cli.system.device import NO_CUDA_ADVICE, Device, cpu_count, parse_device
from recolor_cli.system.memory import available_memory, is_out_of_memory, used_memory
from recolor_cli.system.texts import counted
from recolor_cli.types import FloatArray, ModelKind

# The output of an int8 build in place of `logits`: the logits divided by the temperature, with the
# classes on the last axis (`recolor_cli.training.compression.int8`).
ANNEALED_LOGITS = "annealed_logits"
_FACTOR_STEP = 4  # px; the factor of a picture is fitted to one pixel of 16
_SAME_AB = 0.5  # ab units, mean difference of answers that differ by rounding only


class OnnxColorNetwork:
    """Run a color network with onnxruntime; threads may share an instance.

    On the CPU, a foreign network has as many runs at a time as their memory allows.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Opened by `load`.
    manifest : Manifest
    device : str
        ``cpu`` or ``cuda:N``.
    cpu_reason : str
        Why CUDA is not used although ``auto`` tried it; else empty.
    profile : ForeignProfile or None
        Of a network made elsewhere.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        manifest: Manifest,
        device: str,
        cpu_reason: str = "",
        profile: ForeignProfile | None = None,
    ) -> None:
        self._session = session
        kind, number = parse_device(device)
        self._bound = BoundSession(session, kind, number) if kind is Device.CUDA else None
        self.manifest = manifest
        self.device = device
        self.cpu_reason = cpu_reason
        self.profile = profile
        self._several: bool | None = None  # what `takes_several` found
        self._slots: AbstractContextManager[Any] = nullcontext()  # for runs at a time

    @classmethod
    def load(
        cls,
        model: str | Path,
        device: str = "auto",
        threads: int | None = None,
        profile: ForeignProfile | None = None,
    ) -> Self:
        """Open a model.

        Parameters
        ----------
        model : str or Path
            A name that `recolor models` lists, the path of an ONNX file, or the path of a foreign
            profile (``.toml``). Of a name, the CPU takes the int8 build and CUDA the float16 build
            where there is one. A path is taken as it is.
        device : str
            ``auto`` (CUDA where it works, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
        threads : int or None
            CPU threads for one picture; None takes all CPUs.
        profile : ForeignProfile or None
            For an ONNX file made elsewhere that no profile file names.

        Raises
        ------
        ModelError
            If the model is missing, broken, or does not keep the contract of `Manifest`.
        DeviceError
            If CUDA is demanded and does not work.
        UsageError
            If there is no such kind of device.
        """
        files = find_files(model, 8, profile)
        kind, number = parse_device(device)
        reason = ""
        if kind is not Device.CPU:
            try:
                return cls._load_on_cuda(find_files(model, 16, profile), number)
            except DeviceError as error:
                if kind is Device.CUDA:
                    raise
                reason = error.message
        threads = threads or cpu_count()
        session = open_cpu_session(files.graph, threads)
        manifest, fitted = _describe(session, files)
        network = cls(session, manifest, "cpu", reason, fitted)
        if fitted is None:
            return network
        # The graph does not say what its output holds, nor how much memory it takes: run it once.
        before = used_memory().now
        network._run_once()
        runs = max(1, available_memory() // max(used_memory().now - before, 1))
        if runs < cpu_count() // threads:  # more threads for each of fewer runs
            session = open_cpu_session(files.graph, cpu_count() // runs)
            network = cls(session, manifest, "cpu", reason, fitted)
            network._slots = threading.BoundedSemaphore(runs)
        return network

    @classmethod
    def _load_on_cuda(cls, files: ModelFiles, number: int) -> Self:
        """Open a model on CUDA and run it once; raise DeviceError with the reason if that fails."""
        if reason := why_no_cuda():
            raise DeviceError(reason, NO_CUDA_ADVICE)
        if files.profile is None:
            read_manifest(files.graph)  # so that a broken file is not blamed on CUDA
        session = open_cuda_session(files.graph, number)
        manifest, fitted = _describe(session, files)
        network = cls(session, manifest, f"cuda:{number}", profile=fitted)
        try:
            with capture_output():
                network._run_once()
        except InferenceError as error:
            raise DeviceError(f"CUDA does not work: {error.message}", CUDA_HINT) from error
        return network

    def _run_once(self) -> None:
        size = self.manifest.size
        self.predict(np.zeros((1, 1, size, size), np.float32), self.manifest.temperature)

    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, as `ColorNetwork.predict` does.

        Raises
        ------
        InferenceError
            If onnxruntime fails, for example for want of memory.
        """
        if self.profile:
            return self._predict_foreign(self.profile, lightness, temperature)
        feeds: dict[str, Any] = {"lightness": lightness}
        if self.manifest.kind is ModelKind.CLASSIFICATION:
            feeds["temperature"] = np.array(temperature, np.float32)
        (ab,) = self._run(["ab"], feeds)
        return ab

    def takes_several(self) -> bool:
        """Tell whether the network takes several pictures in a run; try it once if it is foreign.

        The shape of a foreign graph's input does not tell. Of a graph that was traced with one
        picture, some constants may hold for one only.
        """
        if self._several is None:
            self._several = self.profile is None or self._gives_same_together(self.profile)
        return self._several

    def _gives_same_together(self, profile: ForeignProfile) -> bool:
        """Tell whether two pictures in one run get the ab that each gets alone."""
        (node,) = self._session.get_inputs()
        if isinstance(node.shape[0], int):
            return False
        ramp = np.linspace(0, 100, profile.size, dtype=np.float32)
        planes = np.stack(np.meshgrid(ramp, ramp))[:, None]
        alone = [self._run_foreign(profile, plane[None], 1.0) for plane in planes]
        try:
            together = self._run_foreign(profile, planes, 1.0)
        except (InferenceError, ModelError):
            return False
        difference = np.abs(together - np.concatenate(alone)) if len(together) == 2 else np.inf
        return bool(np.mean(difference) <= _SAME_AB)

    def _predict_foreign(
        self, profile: ForeignProfile, lightness: FloatArray, temperature: float
    ) -> FloatArray:
        """Return ab; one picture after the other if the graph takes no more in a run."""
        if len(lightness) == 1 or self.takes_several():
            return self._run_foreign(profile, lightness, temperature)
        alone = [self._run_foreign(profile, plane[None], temperature) for plane in lightness]
        return np.concatenate(alone)

    def _run_foreign(
        self, profile: ForeignProfile, lightness: FloatArray, temperature: float
    ) -> FloatArray:
        (node,) = self._session.get_inputs()
        tensor = profile.prepare_input(lightness)
        if node.type == "tensor(float16)":
            tensor = tensor.astype(np.float16)
        name = profile.select_output([node.name for node in self._session.get_outputs()])
        (output,) = self._run([name], {node.name: tensor})
        return profile.convert_output(output, temperature, lightness)

    def require_distribution(self) -> None:
        """Check, without running the network, that `distribution` has something to return.

        Raises
        ------
        ModelError
            If the model has no distribution over bins of the ab plane.
        """
        if self.profile or not self.manifest.has_distribution:
            raise no_distribution(self.manifest.name)

    def distribution(self, lightness: FloatArray) -> Distribution:
        """Return the distribution that `predict` reduces to ab, as `DistributionNetwork` does.

        Raises
        ------
        ModelError
            If the model has no distribution over bins of the ab plane.
        InferenceError
            As `predict`.
        """
        self.require_distribution()
        manifest = self.manifest
        temperature = np.array(manifest.temperature, np.float32)
        feeds = {"lightness": lightness, "temperature": temperature}
        if ANNEALED_LOGITS in (node.name for node in self._session.get_outputs()):
            ab, annealed = self._run(["ab", ANNEALED_LOGITS], feeds)
            logits = np.moveaxis(annealed * temperature, -1, 1)
        else:
            ab, logits = self._run(["ab", "logits"], feeds)
        # A graph may multiply its ab by one factor per picture (the gate for photographs). Fit it
        # to a part of the pixels.
        some = np.s_[..., ::_FACTOR_STEP, ::_FACTOR_STEP]
        plain = annealed_mean(logits[some], manifest.bins, manifest.temperature)
        square = np.square(plain).sum(axis=(1, 2, 3))
        factor = (ab[some] * plain).sum(axis=(1, 2, 3)) / np.maximum(square, np.float32(1e-12))
        return Distribution(logits, manifest.bins, factor)

    def _run(self, outputs: list[str], feeds: dict[str, Any]) -> list[FloatArray]:
        run = self._bound.run if self._bound else self._session.run
        try:
            with self._slots:
                results: list[FloatArray] = run(outputs, feeds)
        except ORT_ERRORS as error:
            reason = f"the network failed: {one_line(error)}"
            if is_out_of_memory(error):
                reason = "there is not enough memory for the network"
            raise InferenceError(reason, "try --device cpu, or fewer --jobs") from error
        return results


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a model file, after checking it against the graph.

    Raises
    ------
    ModelError
        As `OnnxColorNetwork.load`.
    """
    return _checked_manifest(open_unoptimized(path), path)


def _describe(
    session: onnxruntime.InferenceSession, files: ModelFiles
) -> tuple[Manifest, ForeignProfile | None]:
    """Return the manifest of a session, and its foreign profile for the graph's size."""
    profile = files.profile
    if profile is None:
        return _checked_manifest(session, files.path), None
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        raise ModelError(
            f"{profile.file} has {counted(len(inputs), 'input')} ({names}); "
            "a profile maps just one",
            "export it so that the others are constants",
        )
    profile.select_output([node.name for node in session.get_outputs()])
    profile = profile.fit_size(inputs[0].shape)
    if mismatch := profile.find_mismatch(inputs[0].shape, inputs[0].type):
        pair = f"{files.path} does not fit {profile.file}"
        if files.path == files.graph:
            pair = f"{files.path} does not fit its profile"
        raise ModelError(f"{pair}: {mismatch}", "change the profile")
    return profile.to_manifest(files.path.stem), profile


def _checked_manifest(session: onnxruntime.InferenceSession, path: Path) -> Manifest:
    """Return the manifest in a session's model file; raise ModelError if the graph breaks it."""
    manifest = Manifest.from_properties(session.get_modelmeta().custom_metadata_map, path)
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    mismatches = []
    if len(inputs.get("lightness", ())) != 4 or inputs["lightness"][1] != 1:
        mismatches.append("no input lightness of shape (N, 1, H, W)")
    if len(outputs.get("ab", ())) != 4 or outputs["ab"][1] != 2:
        mismatches.append("no output ab of shape (N, 2, h, w)")
    expected = {"lightness"}
    if manifest.kind is ModelKind.CLASSIFICATION:
        expected.add("temperature")
        logits, annealed = outputs.get("logits", ()), outputs.get(ANNEALED_LOGITS, ())
        classes = [shape[axis] for shape, axis in ((logits, 1), (annealed, 3)) if len(shape) == 4]
        if classes != [len(manifest.centers)]:
            mismatches.append(f"no output logits with {len(manifest.centers)} channels")
    if inputs.keys() != expected:
        mismatches.append(f"inputs {', '.join(inputs)} instead of {', '.join(sorted(expected))}")
    if mismatches:
        raise ModelError(
            f"{path}: graph and manifest disagree: {'; '.join(mismatches)}",
            "use a model that `recolor export` made",
        )
    return manifest
