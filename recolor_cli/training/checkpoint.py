"""Read trained weights: checkpoints, weights files, model files and state dicts."""

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
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.registry import find_model
from recolor_cli.system.files import write_atomic
from recolor_cli.training.compression.weight_storage import restore_weights
from recolor_cli.types import FloatArray

_Value = TypeVar("_Value")

WEIGHTS_SUFFIX = ".safetensors"
# Names in state dicts.
_GATE = "gate."  # prefix; of EfficientNetUNet
_TRUNK = "trunk."  # prefix; of the networks with a semantic branch: all but the decoder
_HEAD = {"head.weight", "head.bias"}  # of the layer that gives the logits
# Keys of a weights file's metadata.
_PRIOR, _CENTERS, _SAMPLES = "recolor.prior", "recolor.centers", "recolor.samples"


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Weights that a training or an export starts from.

    Parameters
    ----------
    weights : dict of str to Tensor
        A state dict.
    prior : float32 array, shape (Q,)
        Frequencies of the bins, with which the classes were rebalanced.
    samples : int
        Samples that the weights were trained on.
    source : str
        Their file, for messages.
    centers : float32 array, shape (Q, 2)
        The bins, in the network's color space.
    """

    weights: dict[str, Tensor]
    prior: FloatArray
    samples: int
    source: str
    centers: FloatArray = field(default_factory=lambda: AbBins.srgb().centers)

    def load_into(self, network: nn.Module) -> None:
        """Load the weights into a network; raise ModelError if its architecture is another."""
        # Some weights may be missing: the counters of the batch norms, which no computation uses
        # and no model file keeps, and the gate, which older networks did not have.
        own = network.state_dict()
        counters = {k: v for k, v in own.items() if v.dtype == torch.int64}
        gate = {k: v for k, v in own.items() if k.startswith(_GATE)}
        try:
            network.load_state_dict(counters | gate | self.weights)
        except RuntimeError as error:
            raise ModelError(
                f"{self.source} is of another architecture: {error}",
                "use the config that it was trained with",
            ) from error

    def shares_only_trunk(self, network: nn.Module) -> bool:
        """Return whether the weights are of a network with the same trunk and another decoder."""
        own, theirs = _shapes(network.state_dict()), _shapes(self.weights)
        return own != theirs and _trunk(own) == _trunk(theirs) != {}

    def load_trunk_into(self, network: nn.Module) -> None:
        """Load the trunk into a network, and leave its decoder."""
        network.load_state_dict(network.state_dict() | _trunk(self.weights))

    def save(self, path: Path) -> None:
        """Write a weights file: matrices and convolutions in float16, the rest in float32."""
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


def load_initial_weights(name: str) -> InitialWeights:
    """Read the averaged weights of a checkpoint, or those of a weights file or a model.

    Parameters
    ----------
    name : str
        A checkpoint (``.pt``), a weights file (``.safetensors``), or a model by name or path.

    Raises
    ------
    ModelError
        If the file is missing, or `recolor` did not write it.
    """
    if name.endswith(".pt"):
        saved = load_checkpoint(Path(name))
        prior = np.array(saved["prior"], np.float32)
        samples = saved["earlier"] + saved["samples"]
        return InitialWeights(saved["average"], prior, samples, name, centers_of(saved))
    if name.endswith(WEIGHTS_SUFFIX):
        return _load_weights_file(name)
    path = find_model(name)
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf names no common class
        raise ModelError(f"{path} cannot be read as a model: {error}", "name another") from error
    properties = {entry.key: entry.value for entry in model.metadata_props}
    manifest = Manifest.from_properties(properties, path)
    weights = restore_weights(model)
    for key in _HEAD & weights.keys():  # undo what `export` did
        weights[key] *= manifest.training.get("calibration", 1.0)
    prior = np.array(manifest.prior, np.float32)
    samples = int(manifest.training.get("samples", 0))
    return InitialWeights(
        weights, prior, samples, str(path), np.array(manifest.centers, np.float32)
    )


def load_mean(names: Sequence[str]) -> InitialWeights:
    """Read the weights of several networks and return their mean.

    The mean of networks that were trained further from the same weights is often better than each
    of them (Wortsman et al.: Model soups, ICML 2022).

    Parameters
    ----------
    names : sequence of str
        As for `load_initial_weights`, at least one; a repeated name counts as often. The prior is
        that of the first.

    Raises
    ------
    ModelError
        If one cannot be read, or they are of different architectures.
    """
    networks = [load_initial_weights(name) for name in names]
    first = networks[0]
    advice = "average runs that started from the same weights"
    for other in networks[1:]:
        if _shapes(other.weights) != _shapes(first.weights):
            raise ModelError(
                f"{first.source} and {other.source} are of different architectures", advice
            )
        if len(first.prior) and not np.array_equal(other.centers, first.centers):
            raise ModelError(
                f"{first.source} and {other.source} have different bins of color", advice
            )
    gates = {key for one in networks for key in one.weights if key.startswith(_GATE)}
    weights = {  # the gate is the mean over the networks that have one
        key: torch.stack([n.weights[key].float() for n in networks if key in n.weights]).mean(dim=0)
        for key in (*_shapes(first.weights), *gates)
    }
    samples = max(one.samples for one in networks)
    return InitialWeights(weights, first.prior, samples, ", ".join(names), first.centers)


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shapes of all weights but the gate, which older files do not have."""
    return {
        key: value.shape
        for key, value in weights.items()
        if value.is_floating_point() and not key.startswith(_GATE)
    }


def _load_weights_file(name: str) -> InitialWeights:
    try:
        with safe_open(name, "pt") as file:
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        prior = np.array(json.loads(metadata[_PRIOR]), np.float32)
        if _CENTERS not in metadata:  # from before there were other bins than those of ab
            return InitialWeights(weights, prior, int(metadata[_SAMPLES]), name)
        centers = np.array(json.loads(metadata[_CENTERS]), np.float32)
        return InitialWeights(weights, prior, int(metadata[_SAMPLES]), name, centers)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be read as a weights file of `recolor export`: {error}", "name another"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    ModelError
        If it is missing, or `recolor train` did not write it.
    """
    checkpoint = _load_dict(
        path, "name one of `recolor train`; for a foreign network use --profile"
    )
    if "average" not in checkpoint:
        raise ModelError(
            f"{path} is not a checkpoint of `recolor train`",
            "name another; for a foreign state dict use --architecture, for a whole network "
            "--profile",
        )
    return checkpoint


def centers_of(saved: dict[str, Any]) -> FloatArray:
    """Return the bins of a checkpoint, float32 (Q, 2). Older checkpoints have the ab bins."""
    return np.array(saved["centers"], np.float32) if "centers" in saved else AbBins.srgb().centers


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a foreign state dict onto the CPU, written by torch.save or as ``.safetensors``.

    Raises
    ------
    ModelError
        If the file is missing, or holds something else than named tensors.
    """
    if path.suffix == WEIGHTS_SUFFIX:
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} cannot be read as weights: {error}", "name another"
            ) from error
    weights = _load_dict(path, "name a state dict that torch.save wrote")
    weights = weights.get("state_dict", weights)
    if not (
        isinstance(weights, dict)
        and weights
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items())
    ):
        raise ModelError(f"{path} is not a state dict", "save module.state_dict() with torch.save")
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _load_dict(path: Path, advice: str) -> dict[str, Any]:
    """Return a dict that torch.save wrote, without running code that may be in the file."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except Exception as error:  # torch names no common class
        # Its message is left out, because it says how to run the code in a file.
        raise ModelError(
            f"{path} does not hold weights, or holds more than weights", advice
        ) from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} holds a {type(loaded).__name__}", advice)
    return loaded
