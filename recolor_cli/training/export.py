"""Export trained weights as a self-describing ONNX file that gives the same colors as torch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.training.checkpoint import (
    InitialWeights,
    centers_of,
    load_checkpoint,
    load_mean,
    load_state_dict,
)
from recolor_cli.training.compression.weight_storage import (
    WeightStorage,
    round_weights,
    store_weights,
)
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.model_wrapper import (
    AnnealedNetwork,
    ExportedNetwork,
    make_manifest,
    run_exported,
    wrap_for_export,
)
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.networks.semantics import classifier_of
from recolor_cli.training.parity import Parity, make_inputs, write_verified
from recolor_cli.training.tracing import IR_VERSION, trace
from recolor_cli.types import FloatArray

ROUNDING = 0.25  # ab units: the largest accepted mean difference by rounding the weights


def export(checkpoints: Sequence[str], destination: Path, pictures: list[Picture]) -> Parity:
    """Write the averaged weights of a checkpoint as a model file.

    Parameters
    ----------
    checkpoints : sequence of str
        A checkpoint of `recolor train`. Further checkpoints, weights files or models are averaged
        with it.
    destination : Path
        The ``.onnx`` file; appears only if torch and onnxruntime give the same colors.
    pictures : list of Picture
        Real color pictures. Some are compared on, besides noise; all are measured for the figures
        in the file.

    Raises
    ------
    ModelError
        If a checkpoint cannot be read, or onnxruntime and torch differ by more than `TOLERANCE`.
    UsageError
        If there is no picture to compare on.

    Notes
    -----
    The logits are divided by the config's `calibration`, so that the usual temperature of 0.38
    decodes them well. Weights are stored in 8 bits, or in half precision where 8 bits would change
    the color by more than `ROUNDING`, and computed with in single precision. They are rounded
    before the comparison, so that it is made with the weights of the file.
    """
    saved = load_checkpoint(Path(checkpoints[0]))
    config = TrainConfig.from_values(saved["config"], checkpoints[0])
    network = build_network(config, len(AbBins.srgb()), pretrained=False)
    load_mean(checkpoints).load_into(network)
    if isinstance(network, LogitsNetwork):
        network.head.weight.data /= config.calibration
        if network.head.bias is not None:
            network.head.bias.data /= config.calibration
    training = {
        "samples": saved["earlier"] + saved["samples"],
        "calibration": config.calibration,
        "steps": saved["step"],
        "seed": config.seed,
        "version": metadata.version("recolor-cli"),
    }
    prior = np.array(saved["prior"], np.float32)
    manifest = make_manifest(config, network, centers_of(saved), prior, training)
    return _write(network, manifest, destination, pictures)


def export_state_dict(
    weights: Path, architecture: str, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write a foreign state dict of one of our architectures as a model file.

    Parameters
    ----------
    weights : Path
        A file of `torch.save`: the state dict alone, or under ``state_dict`` in a dict. No code in
        it is run.
    architecture : str
        One of `networks.ARCHITECTURES`. The names of the weights tell which classifier is fused in.
    destination, pictures
        As for `export`.

    Raises
    ------
    ModelError, UsageError
        As `export`; also if the weights are not of that architecture.

    Notes
    -----
    A classification network gets equally frequent bins, because a state dict has no prior. Only the
    prior-mean baseline of `recolor evaluate` uses it.
    """
    if architecture == "colorunet":
        raise UsageError(
            "a state dict does not say which of the UV bins its logits are of",
            "export a checkpoint of `recolor train`",
        )
    state = load_state_dict(weights)
    config = TrainConfig(
        name=destination.stem,
        train=("unknown",),
        validation=(),
        samples=1,
        batch_size=1,
        architecture=architecture,
        semantic=classifier_of(state),
        description="unknown: made elsewhere",
        license="unknown",
    )
    bins = AbBins.srgb()
    network = build_network(config, len(bins), pretrained=False)
    InitialWeights(state, np.empty(0, np.float32), 0, str(weights)).load_into(network)
    prior = np.full(len(bins), 1 / len(bins), np.float32)
    training = {"samples": 0, "version": metadata.version("recolor-cli")}
    manifest = make_manifest(config, network, bins.centers, prior, training)
    return _write(network, manifest, destination, pictures)


def _write(
    network: ColorModule, manifest: Manifest, destination: Path, pictures: list[Picture]
) -> Parity:
    """Round the weights, convert the network to ONNX, and write it if it answers like torch."""
    exact = wrap_for_export(copy.deepcopy(network), manifest).eval()
    inputs = make_inputs(manifest, [], pictures)
    for storage in WeightStorage:
        rounded = copy.deepcopy(network)
        stored = round_weights(rounded, storage)
        exported = wrap_for_export(rounded, manifest).eval()
        rounding = _mean_difference(exported, exact, inputs, manifest.temperature)
        if rounding <= ROUNDING:
            break
    else:
        raise ModelError(
            f"storing the weights in half precision changes ab by {rounding:.3f} on "
            f"average, more than {ROUNDING}: {destination} was not written",
            "train with a larger weight_decay, so that no weight is out of its range",
        )
    model = _to_onnx(exported, manifest.size)
    store_weights(model, stored)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return write_verified(
        model,
        manifest,
        destination,
        pictures,
        lambda session: replace(
            _compare(exported, session, pictures), rounding=rounding, storage=storage
        ),
    )


def _to_onnx(network: ExportedNetwork, size: int) -> Any:
    """Trace a network with a free number of pictures, height and width."""
    inputs, outputs = {"lightness": torch.full((2, 1, size, size), 50.0)}, ["ab"]
    if isinstance(network, AnnealedNetwork):
        inputs["temperature"] = torch.tensor(0.38)
        outputs.append("logits")
    free = {
        "lightness": {0: "N", 2: "H", 3: "W"},
        "ab": {0: "N", 2: "h", 3: "w"},
        "logits": {0: "N", 2: "h", 3: "w"},
    }
    return trace(network, inputs, outputs, free)


def _compare(
    network: ExportedNetwork, session: OnnxColorNetwork, pictures: list[Picture]
) -> Parity:
    """Compare torch and onnxruntime on noise of several shapes and on pictures."""
    manifest = session.manifest
    side = manifest.size
    shapes = [(1, side, side), (2, side, side), (3, manifest.stride, side)]
    if side > manifest.stride:
        shapes.append((2, side, side - manifest.stride))
    inputs = make_inputs(manifest, shapes, pictures)
    differences = []
    for lightness in inputs:
        for temperature in (manifest.temperature, 1.0):
            with torch.inference_mode():
                expected = run_exported(network, torch.from_numpy(lightness), temperature).numpy()
            differences.append(np.abs(session.predict(lightness, temperature) - expected).max())
    # numpy's max, unlike Python's, is NaN as soon as one value is.
    return Parity(len(inputs), float(np.max(differences)))


def _mean_difference(
    one: ExportedNetwork, other: ExportedNetwork, inputs: list[FloatArray], temperature: float
) -> float:
    """Return the mean difference of two networks' ab, each input counting the same."""
    differences = []
    with torch.inference_mode():
        for lightness in map(torch.from_numpy, inputs):
            first, second = (run_exported(net, lightness, temperature) for net in (one, other))
            differences.append(float((first - second).abs().mean()))
    return float(np.mean(differences))
