"""From a checkpoint to a self-describing ONNX file that gives the same colors as torch does."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper

from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.metrics import Accumulator
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.gamut import AbBins
from recolor_cli.image_io import decode, write_atomic
from recolor_cli.lab import gray_of
from recolor_cli.letterbox import Letterbox
from recolor_cli.manifest import Manifest
from recolor_cli.network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer, network_input
from recolor_cli.training.checkpoint import (
    Start,
    centers_of,
    load_checkpoint,
    load_mean,
    load_state_dict,
)
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.storage import Storage, round_weights, store
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
_COMPARED = 16  # pictures at most
# What a model file tells of itself: how near it comes to the truth, how much color it gives.
_FIGURES = ("balanced_auc", "one_class", "two_class", "class_ratio", "chroma_ratio", "ciede2000")
_OPSET = 18
_IR_VERSION = 10  # a newer one would shut out older onnxruntimes


@dataclass(frozen=True, slots=True)
class Parity:
    """How near onnxruntime comes to torch."""

    inputs: int
    max_difference: float  # ab units, against the weights as they are stored
    rounding: float  # ab units, mean: what storing them so changes
    storage: Storage


def export(checkpoints: Sequence[str], destination: Path, pictures: list[Picture]) -> Parity:
    """Write the averaged weights of a checkpoint as a model file.

    Parameters
    ----------
    checkpoints : sequence of str
        A checkpoint of `recolor train`; with others, or weights files or models, the mean of them.
    destination : Path
        The ``.onnx`` file; it appears only if the parity holds.
    pictures : list of Picture
        Real color pictures: to compare on, besides random noise, some of them, and to take the
        figures on that the file tells of itself, all.

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
    in the literature, decodes them well. Weights are stored in 8 bits, or in half precision where
    8 bits would change the color by more than `ROUNDING`, and computed with in single. They are
    rounded before the comparison, so what is compared is what is shipped.
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
        "calibration": config.calibration,
        "steps": saved["step"],
        "seed": config.seed,
        "version": metadata.version("recolor-cli"),
    }
    manifest = make_manifest(
        config,
        network,
        centers_of(saved),
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
    if architecture == "colorunet":
        raise UsageError(
            "a state dict does not say which of the UV bins its logits are of",
            "export a checkpoint of `recolor train`",
        )
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
    manifest = make_manifest(config, network, bins.centers, prior, 0, training)
    return _write(network, manifest, destination, pictures)


def _write(
    network: ColorModule, manifest: Manifest, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write a model file once onnxruntime has answered like torch."""
    if not pictures:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    exact = as_exported(copy.deepcopy(network), manifest).eval()
    for storage in Storage:
        rounded = copy.deepcopy(network)
        stored = round_weights(rounded, storage)
        answering = as_exported(rounded, manifest).eval()
        model = _to_onnx(answering, manifest.size)
        store(model, stored)
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, manifest.to_properties())
        onnx.checker.check_model(model, full_check=True)

        unproved = destination.with_name(f".{destination.name}.unproved.onnx")
        write_atomic(unproved, model.SerializeToString())
        try:
            session = OnnxColorNetwork.load(unproved, "cpu")
            parity = _compare(answering, exact, session, pictures, storage)
            if not parity.max_difference <= TOLERANCE:  # also when it is no number
                raise ModelError(
                    f"onnxruntime and torch differ by up to {parity.max_difference:.4f} ab units, "
                    f"more than {TOLERANCE}: {destination} was not written",
                    "report this with the versions that `recolor doctor` prints",
                )
            if parity.rounding <= ROUNDING:
                training = {**manifest.training, "figures": _figures(session, pictures)}
                helper.set_model_props(model, replace(manifest, training=training).to_properties())
                write_atomic(destination, model.SerializeToString())
                return parity
        finally:
            unproved.unlink(missing_ok=True)
    raise ModelError(
        f"storing the weights in half precision changes ab by {parity.rounding:.3f} on "
        f"average, more than {ROUNDING}: {destination} was not written",
        "train with a larger weight_decay, so that no weight is out of its range",
    )


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


def _compare(
    rounded: AnnealedNetwork | PlainNetwork,
    exact: AnnealedNetwork | PlainNetwork,
    session: OnnxColorNetwork,
    pictures: list[Picture],
    storage: Storage,
) -> Parity:
    """Run all on noise of several shapes and on pictures; rounding is measured on these alone."""
    manifest = session.manifest
    random = np.random.default_rng(0)
    side = manifest.size
    shapes = [(1, side, side), (2, side, side - manifest.stride), (3, manifest.stride, side)]
    tensors: list[FloatArray] = [
        random.uniform(0, 100, (n, 1, h, w)).astype(np.float32) for n, h, w in shapes
    ]
    for picture in pictures[:: math.ceil(len(pictures) / _COMPARED)]:
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
    return Parity(len(tensors), float(np.max(differences)), float(np.mean(roundings)), storage)


def _figures(session: OnnxColorNetwork, pictures: list[Picture]) -> dict[str, float]:
    """Measure the finished model, by the names of `evaluation.metrics`."""
    recolorizer, result, gray = Recolorizer(session), Accumulator(), Accumulator()
    for picture in pictures:
        rgb = picture.rgb()
        result.add(rgb, recolorizer.recolor(rgb))
        gray.add(rgb, gray_of(rgb))
    figures = result.figures()
    values = {key: round(float(getattr(figures, key)), 4) for key in _FIGURES}
    return {
        "pictures": len(pictures),
        "l2_over_gray": round(figures.l2 / gray.figures().l2, 4),
        **values,
    }
