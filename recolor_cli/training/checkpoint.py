"""Weights that were trained before: checkpoints, and the files that were made from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import ModelError
from recolor_cli.model.manifest import Manifest, find_model
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.weight_storage import restore
from recolor_cli.types import FloatArray

_Value = TypeVar("_Value")

WEIGHTS_SUFFIX = ".safetensors"
_GATE = "gate."  # of EfficientNetUNet
_TRUNK = "trunk."  # of the networks with a semantic branch: all but the decoder
_HEAD = {"head.weight", "head.bias"}  # what makes the logits
_PRIOR, _CENTERS, _SAMPLES = "recolor.prior", "recolor.centers", "recolor.samples"  # metadata


@dataclass(frozen=True, slots=True)
class Start:
    """What a training can start from.

    Parameters
    ----------
    weights : dict of str to Tensor
        A state dict.
    prior : float32 array, shape (Q,)
        Frequency of the bins, as they were rebalanced with.
    samples : int
        How many it has seen.
    source : str
        Where it is from, for messages.
    centers : float32 array, shape (Q, 2)
        The bins that its logits are of, in the network's space.
    """

    weights: dict[str, Tensor]
    prior: FloatArray
    samples: int
    source: str
    centers: FloatArray = field(default_factory=lambda: AbBins.srgb().centers)

    def load_into(self, network: nn.Module) -> None:
        """Give a network these weights.

        Raises
        ------
        ModelError
            If they are of another architecture.
        """
        # Counters of the batch norms, which no computation uses; a model file does not keep them.
        own = network.state_dict()
        counters = {k: v for k, v in own.items() if v.dtype == torch.int64}
        gate = {k: v for k, v in own.items() if k.startswith(_GATE)}  # older weights have none
        try:
            network.load_state_dict(counters | gate | self.weights)
        except RuntimeError as error:
            raise ModelError(
                f"{self.source} is of another architecture: {error}",
                "use the config that it was made with",
            ) from error

    def shares_trunk_alone(self, network: nn.Module) -> bool:
        """Tell whether they are of a sibling: the same trunk with another decoder."""
        own, theirs = _shapes(network.state_dict()), _shapes(self.weights)
        return own != theirs and _trunk(own) == _trunk(theirs) != {}

    def load_trunk_into(self, network: nn.Module) -> None:
        """Give a sibling the trunk; its decoder stays as it is."""
        network.load_state_dict(network.state_dict() | _trunk(self.weights))

    def save(self, path: Path) -> None:
        """Write a weights file: safetensors, convolutions in float16, norms and biases in float32.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        tensors = {
            key: (value.half() if value.ndim > 1 else value).contiguous()
            for key, value in self.weights.items()
            if value.is_floating_point()
        }
        metadata = {
            _PRIOR: json.dumps(self.prior.tolist()),
            _CENTERS: json.dumps(self.centers.tolist()),
            _SAMPLES: str(self.samples),
        }
        write_atomic(path, save(tensors, metadata))


def _trunk(state: dict[str, _Value]) -> dict[str, _Value]:
    return {key: value for key, value in state.items() if key.startswith(_TRUNK)}


def load_start(name: str) -> Start:
    """Read weights to start from: of a checkpoint (the averaged ones), a weights or a model file.

    Parameters
    ----------
    name : str
        A checkpoint (``.pt``), a weights file (``.safetensors``), or a model by name or path.

    Raises
    ------
    ModelError
        If it is missing, or none of ours.
    """
    if name.endswith(".pt"):
        saved = load_checkpoint(Path(name))
        prior = np.array(saved["prior"], np.float32)
        samples = saved["earlier"] + saved["samples"]
        return Start(saved["average"], prior, samples, name, centers_of(saved))
    if name.endswith(WEIGHTS_SUFFIX):
        return _load_weights(name)
    path = find_model(name)
    try:
        model = onnx.load(path)
    except Exception as error:  # whatever protobuf makes of a file that is none
        raise ModelError(f"{path} cannot be read as a model: {error}", "name another") from error
    properties = {entry.key: entry.value for entry in model.metadata_props}
    manifest = Manifest.from_properties(properties, path)
    weights = restore(model)
    for key in _HEAD & weights.keys():  # as it was trained
        weights[key] *= manifest.training.get("calibration", 1.0)
    prior = np.array(manifest.prior, np.float32)
    samples = int(manifest.training.get("samples", 0))
    return Start(weights, prior, samples, str(path), np.array(manifest.centers, np.float32))


def load_mean(names: Sequence[str]) -> Start:
    """Read several weights to start from and take their mean.

    Networks that were trained on from the same weights can be averaged, and are often better than
    each of them (Wortsman et al.: Model soups, ICML 2022). A name may come several times: it then
    weighs as much.

    Parameters
    ----------
    names : sequence of str
        As for `load_start`, at least one. The prior is that of the first.

    Raises
    ------
    ModelError
        If one cannot be read, or they are of different architectures.
    """
    starts = [load_start(name) for name in names]
    first = starts[0]
    advice = "average runs that started from the same weights"
    for other in starts[1:]:
        if _shapes(other.weights) != _shapes(first.weights):
            raise ModelError(
                f"{first.source} and {other.source} are of different architectures", advice
            )
        if len(first.prior) and not np.array_equal(other.centers, first.centers):
            raise ModelError(
                f"{first.source} and {other.source} sort colors into different bins", advice
            )
    gates = {key for start in starts for key in start.weights if key.startswith(_GATE)}
    weights = {  # the gate is the mean of those that have one
        key: torch.stack([s.weights[key].float() for s in starts if key in s.weights]).mean(dim=0)
        for key in (*_shapes(first.weights), *gates)
    }
    samples = max(start.samples for start in starts)
    return Start(weights, first.prior, samples, ", ".join(names), first.centers)


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return those of all weights but the gate's, which older files do not have."""
    return {
        key: value.shape
        for key, value in weights.items()
        if value.is_floating_point() and not key.startswith(_GATE)
    }


def _load_weights(name: str) -> Start:
    try:
        with safe_open(name, "pt") as file:
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        prior = np.array(json.loads(metadata[_PRIOR]), np.float32)
        if _CENTERS not in metadata:  # written before there were any but the ab bins
            return Start(weights, prior, int(metadata[_SAMPLES]), name)
        centers = np.array(json.loads(metadata[_CENTERS]), np.float32)
        return Start(weights, prior, int(metadata[_SAMPLES]), name, centers)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be read as weights of `recolor export`: {error}", "name another"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    ModelError
        If it is missing or is none of ours.
    """
    checkpoint = _load(
        path, "name one of `recolor train`; for a network made elsewhere say --profile"
    )
    if "average" not in checkpoint:
        raise ModelError(
            f"{path} is no checkpoint of `recolor train`",
            "name another; for somebody's state dict say --architecture, for a whole network "
            "--profile",
        )
    return checkpoint


def centers_of(saved: dict[str, Any]) -> FloatArray:
    """Return the bins of a checkpoint, float32 (Q, 2); older ones know none but the ab bins."""
    return np.array(saved["centers"], np.float32) if "centers" in saved else AbBins.srgb().centers


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read somebody's state dict onto the CPU: of torch.save, or safetensors by its suffix.

    Raises
    ------
    ModelError
        If it is missing, or holds something else than named tensors.
    """
    if path.suffix == WEIGHTS_SUFFIX:
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} cannot be read as weights: {error}", "name another"
            ) from error
    weights = _load(path, "name a state dict that torch.save wrote")
    weights = weights.get("state_dict", weights)
    if not (
        isinstance(weights, dict)
        and weights
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items())
    ):
        raise ModelError(f"{path} is no state dict", "save module.state_dict() with torch.save")
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _load(path: Path, advice: str) -> dict[str, Any]:
    """Return a dict that torch saved, without running code that may be in the file."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except Exception as error:  # torch names no common class for what can be wrong in a file
        # Its own words are left out: of what would run code, they say how to let it.
        raise ModelError(
            f"{path} is no file of weights, or holds more than those", advice
        ) from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds a {type(loaded).__name__}", advice)
    return loaded
