"""From a checkpoint to a self-describing ONNX file that gives the same colors as torch does."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.files import write_atomic
from recolor_cli.gamut import AbBins
from recolor_cli.image_io import decode
from recolor_cli.letterbox import Letterbox
from recolor_cli.manifest import Manifest
from recolor_cli.network import OnnxColorNetwork
from recolor_cli.recolorizer import network_input
from recolor_cli.training.checkpoint import HALF, Start, load_checkpoint, load_mean, load_state_dict
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.train import (
    AnnealedNetwork,
    PlainNetwork,
    as_exported,
    color_of,
    make_manifest,
)
from recolor_cli.types import FloatArray

TOLERANCE = 1e-2  # ab units: the most that onnxruntime may differ from torch
ROUNDING = 0.25  # ab units: the most that rounding the weights may change on average
_OPSET = 18
_IR_VERSION = 10  # a newer one would shut out older onnxruntimes


@dataclass(frozen=True, slots=True)
class Parity:
    """How near onnxruntime comes to torch."""

    inputs: int
    max_difference: float  # ab units, against the weights as they are stored
    rounding: float  # ab units, mean: what storing them in half precision changes


def export(checkpoints: Sequence[str], destination: Path, pictures: list[Picture]) -> Parity:
    """Write the averaged weights of a checkpoint as a model file.

    Parameters
    ----------
    checkpoints : sequence of str
        A checkpoint of `recolor train`; with others, or weights files or models, the mean of them.
    destination : Path
        The ``.onnx`` file; it appears only if the parity holds.
    pictures : list of Picture
        Real pictures to compare on, besides random noise.

    Returns
    -------
    Parity

    Raises
    ------
    ModelError
        If the checkpoint is none, or onnxruntime and torch differ by more than `TOLERANCE`.
    UsageError
        If there is no picture to compare on.

    Notes
    -----
    The logits are divided by the config's `calibration`, so that the model's temperature, 0.38 as
    in the literature, decodes them well. Weights are stored in half precision, which halves the
    file, and computed with in single. They are rounded before the comparison, so what is compared
    is what is shipped.
    """
    saved = load_checkpoint(Path(checkpoints[0]))
    config = TrainConfig.from_values(saved["config"], checkpoints[0])
    bins = AbBins.srgb()
    network = build_network(config, len(bins), pretrained=False)
    load_mean(checkpoints).load_into(network)
    if isinstance(network, LogitsNetwork):
        network.head.weight.data /= config.calibration
        if network.head.bias is not None:
            network.head.bias.data /= config.calibration
    training = {
        "calibration": config.calibration,
        "steps": saved["step"],
        "seed": config.seed,
        "version": metadata.version("recolor-cli"),
        "figures": saved["figures"] if len(checkpoints) == 1 else None,  # not of the mean
    }
    manifest = make_manifest(
        config,
        network,
        bins,
        np.array(saved["prior"], np.float32),
        saved["earlier"] + saved["samples"],
        training,
    )
    return _write(network, manifest, destination, pictures)


def export_state_dict(
    weights: Path, architecture: str, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write somebody's weights of one of our architectures as a model file.

    Parameters
    ----------
    weights : Path
        A state dict that `torch.save` wrote, alone or under ``state_dict`` in a dict. It is loaded
        without running any code in it.
    architecture : str
        One of `networks.ARCHITECTURES`.
    destination, pictures
        As for `export`.

    Returns
    -------
    Parity

    Raises
    ------
    ModelError, UsageError
        As `export`; also if the weights are not of that architecture.

    Notes
    -----
    For a classification network without a prior of its own the bins are taken to be equally
    frequent; only the prior-mean baseline of `recolor evaluate` looks at it.
    """
    config = TrainConfig(
        name=destination.stem,
        train=("unknown",),
        validation=(),
        samples=1,
        batch_size=1,
        architecture=architecture,
        description="unknown: made elsewhere",
        license="unknown",
    )
    bins = AbBins.srgb()
    network = build_network(config, len(bins), pretrained=False)
    Start(load_state_dict(weights), np.empty(0, np.float32), 0, str(weights)).load_into(network)
    prior = np.full(len(bins), 1 / len(bins), np.float32)
    training = {"version": metadata.version("recolor-cli")}
    manifest = make_manifest(config, network, bins, prior, 0, training)
    return _write(network, manifest, destination, pictures)


def _write(
    network: ColorModule, manifest: Manifest, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write a model file once onnxruntime has answered like torch."""
    if not pictures:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    exact = as_exported(copy.deepcopy(network), manifest).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:  # what `_store_in_half` will store so
            parameter.data = parameter.data.half().float()
    rounded = as_exported(network, manifest).eval()

    model = _to_onnx(rounded, manifest.size)
    _store_in_half(model)
    model.ir_version = _IR_VERSION
    helper.set_model_props(model, manifest.to_properties())
    onnx.checker.check_model(model, full_check=True)

    unproved = destination.with_name(f".{destination.name}.unproved.onnx")
    write_atomic(unproved, model.SerializeToString())
    try:
        parity = _compare(rounded, exact, OnnxColorNetwork.load(unproved, "cpu"), pictures)
        if not parity.max_difference <= TOLERANCE:  # also when it is no number
            raise ModelError(
                f"onnxruntime and torch differ by up to {parity.max_difference:.4f} ab units, "
                f"more than {TOLERANCE}: {destination} was not written",
                "report this with the versions that `recolor doctor` prints",
            )
        if not parity.rounding <= ROUNDING:
            raise ModelError(
                f"storing the weights in half precision changes ab by {parity.rounding:.3f} on "
                f"average, more than {ROUNDING}: {destination} was not written",
                "train with a larger weight_decay, so that no weight is out of its range",
            )
        unproved.replace(destination)
    finally:
        unproved.unlink(missing_ok=True)
    return parity


def _to_onnx(network: AnnealedNetwork | PlainNetwork, size: int) -> Any:
    """Trace the network with a free number of pictures, height and width."""
    lightness, temperature = torch.full((2, 1, size, size), 50.0), torch.tensor(0.38)
    anneals = isinstance(network, AnnealedNetwork)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network,
            (lightness, temperature) if anneals else (lightness,),
            Path(folder) / "network.onnx",
            input_names=["lightness", "temperature"] if anneals else ["lightness"],
            output_names=["ab", "logits"] if anneals else ["ab"],
            opset_version=_OPSET,
            # Else it folds the batch norms into the weights, which then are no longer rounded;
            # onnxruntime folds them when it loads the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamic_axes={
                "lightness": {0: "N", 2: "H", 3: "W"},
                "ab": {0: "N", 2: "h", 3: "w"},
                "logits": {0: "N", 2: "h", 3: "w"},
            },
            dynamo=False,
        )
        return onnx.load(Path(folder) / "network.onnx")


def _store_in_half(model: Any) -> None:
    """Store weights in float16 with a cast behind each; onnxruntime folds the casts at load."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # something else than a rounded weight: keep it exact
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}{HALF}"))
        casts.append(helper.make_node("Cast", [f"{name}{HALF}"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _compare(
    rounded: AnnealedNetwork | PlainNetwork,
    exact: AnnealedNetwork | PlainNetwork,
    session: OnnxColorNetwork,
    pictures: list[Picture],
) -> Parity:
    """Run all on noise of several shapes and on pictures; rounding is measured on these alone."""
    manifest = session.manifest
    random = np.random.default_rng(0)
    side = manifest.size
    shapes = [(1, side, side), (2, side, side - manifest.stride), (3, manifest.stride, side)]
    tensors: list[FloatArray] = [
        random.uniform(0, 100, (n, 1, h, w)).astype(np.float32) for n, h, w in shapes
    ]
    for picture in pictures:
        image = decode(picture.data)
        box = Letterbox.fit(image.size, side)
        tensors.append(network_input(image.rgb, box, manifest.pad_lightness))
    differences, roundings = [], []
    for number, tensor in enumerate(tensors):
        for temperature in (manifest.temperature, 1.0):
            lightness = torch.from_numpy(tensor)
            with torch.inference_mode():
                expected = color_of(rounded, lightness, temperature).numpy()
                if number >= len(shapes):
                    unrounded = color_of(exact, lightness, temperature).numpy()
                    roundings.append(np.abs(unrounded - expected).mean())
            differences.append(np.abs(session.predict(tensor, temperature) - expected).max())
    # numpy's max, unlike Python's, is no number as soon as one of them is none.
    return Parity(len(tensors), float(np.max(differences)), float(np.mean(roundings)))
