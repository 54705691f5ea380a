"""From a checkpoint to a self-describing ONNX file that gives the same colors as torch does."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.metrics import Accumulator
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import OnnxColorNetwork, captured_output
from recolor_cli.recolorizer import Recolorizer, network_input
from recolor_cli.system.files import write_atomic
from recolor_cli.training.checkpoint import (
    Start,
    centers_of,
    load_checkpoint,
    load_mean,
    load_state_dict,
)
from recolor_cli.training.compression.weight_storage import Storage, round_weights, store
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import ColorModule, LogitsNetwork
from recolor_cli.training.networks.semantics import semantic_of
from recolor_cli.training.train import (
    AnnealedNetwork,
    PlainNetwork,
    as_exported,
    color_of,
    make_manifest,
)
from recolor_cli.types import FloatArray, ImageSize

TOLERANCE = 1e-2  # ab units: the most that onnxruntime may differ from what a network comes from
ROUNDING = 0.25  # ab units: the most that rounding the weights may change on average
_COMPARED = 16  # pictures at most
# What a model file tells of itself: how near it comes to the truth, how much color it gives.
_FIGURES = ("balanced_auc", "one_class", "two_class", "class_ratio", "chroma_ratio", "ciede2000")
OPSET = 18
IR_VERSION = 10  # a newer one would shut out older onnxruntimes


@dataclass(frozen=True, slots=True)
class Parity:
    """How near onnxruntime comes to the framework that a network comes from."""

    inputs: int
    max_difference: float  # ab units, against the weights as they are stored
    rounding: float = 0.0  # ab units, mean: what storing the weights so changes
    storage: Storage | None = None
    framework: str = "torch"
    tolerance: float = TOLERANCE  # ab units: the most that may be


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
        One of `networks.ARCHITECTURES`. The weights say which classifier is fused in, if one is.
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
    state = load_state_dict(weights)
    config = TrainConfig(
        name=destination.stem,
        train=("unknown",),
        validation=(),
        samples=1,
        batch_size=1,
        architecture=architecture,
        semantic=semantic_of(state),
        description="unknown: made elsewhere",
        license="unknown",
    )
    bins = AbBins.srgb()
    network = build_network(config, len(bins), pretrained=False)
    Start(state, np.empty(0, np.float32), 0, str(weights)).load_into(network)
    prior = np.full(len(bins), 1 / len(bins), np.float32)
    training = {"version": metadata.version("recolor-cli")}
    manifest = make_manifest(config, network, bins.centers, prior, 0, training)
    return _write(network, manifest, destination, pictures)


def _write(
    network: ColorModule, manifest: Manifest, destination: Path, pictures: list[Picture]
) -> Parity:
    """Write a model file once onnxruntime has answered like torch."""
    exact = as_exported(copy.deepcopy(network), manifest).eval()
    shown = probes(manifest, [], pictures)
    for storage in Storage:
        rounded = copy.deepcopy(network)
        stored = round_weights(rounded, storage)
        answering = as_exported(rounded, manifest).eval()
        rounding = _rounding(answering, exact, shown, manifest.temperature)
        if rounding <= ROUNDING:
            break
    else:
        raise ModelError(
            f"storing the weights in half precision changes ab by {rounding:.3f} on "
            f"average, more than {ROUNDING}: {destination} was not written",
            "train with a larger weight_decay, so that no weight is out of its range",
        )
    model = _to_onnx(answering, manifest.size)
    store(model, stored)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return write_proved(
        model,
        manifest,
        destination,
        pictures,
        lambda session: replace(
            _compare(answering, session, pictures), rounding=rounding, storage=storage
        ),
    )


def write_proved(
    model: Any,
    manifest: Manifest,
    destination: Path,
    pictures: list[Picture],
    compare: Callable[[OnnxColorNetwork], Parity],
) -> Parity:
    """Write a model file once onnxruntime answers like the framework that it comes from.

    Parameters
    ----------
    model : onnx.ModelProto
        It gets the manifest, and in it the figures of the model.
    manifest : Manifest
    destination : Path
        It appears only if the parity holds.
    pictures : list of Picture
        What is compared and measured on.
    compare : callable
        From the file, opened in onnxruntime, to its parity.

    Returns
    -------
    Parity

    Raises
    ------
    ModelError
        If the file cannot be run, or its answers differ by more than the parity's tolerance.
    UsageError
        If there is no picture to compare on.
    """
    helper.set_model_props(model, manifest.to_properties())
    with tempfile.TemporaryDirectory() as folder:
        unproved = Path(folder) / destination.name
        unproved.write_bytes(model.SerializeToString())
        session = OnnxColorNetwork.load(unproved, "cpu")
        parity = compare(session)
        if not parity.max_difference <= parity.tolerance:  # also when it is no number
            raise ModelError(
                f"{parity.framework} and onnxruntime differ by up to {parity.max_difference:.4f} "
                f"ab units, more than {parity.tolerance}: {destination} was not written",
                "report this with the versions that `recolor doctor` prints",
            )
        training = {**manifest.training, "figures": _figures(session, pictures)}
    helper.set_model_props(model, replace(manifest, training=training).to_properties())
    write_atomic(destination, model.SerializeToString())
    return parity


def _to_onnx(network: AnnealedNetwork | PlainNetwork, size: int) -> Any:
    """Trace the network with a free number of pictures, height and width."""
    lightness, temperature = torch.full((2, 1, size, size), 50.0), torch.tensor(0.38)
    anneals = isinstance(network, AnnealedNetwork)
    return trace(
        network,
        {"lightness": lightness, "temperature": temperature}
        if anneals
        else {"lightness": lightness},
        ["ab", "logits"] if anneals else ["ab"],
        {
            "lightness": {0: "N", 2: "H", 3: "W"},
            "ab": {0: "N", 2: "h", 3: "w"},
            "logits": {0: "N", 2: "h", 3: "w"},
        },
    )


def trace(
    module: Any,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
    opset: int = OPSET,
) -> Any:
    """Turn what torch computes into ONNX.

    Parameters
    ----------
    module : nn.Module or torch.jit.ScriptModule
        It stays in the mode, of training or evaluation, that it is in.
    inputs : mapping of str to Tensor
        Their names in the graph, and an example of each.
    outputs : sequence of str
        Their names in the graph.
    free : mapping of str to mapping of int to str
        The axes of inputs and outputs that may have other sizes than the examples, and names.
    opset : int
        Of ONNX.

    Returns
    -------
    onnx.ModelProto
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        captured_output(),  # it prints what it cannot translate
    ):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            Path(folder) / "network.onnx",
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset,
            # Else it folds the batch norms into the weights, which then are no longer rounded;
            # onnxruntime folds them when it loads the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamic_axes={name: dict(axes) for name, axes in free.items()},
            dynamo=False,
        )
        return onnx.load(Path(folder) / "network.onnx")


def _compare(
    network: AnnealedNetwork | PlainNetwork, session: OnnxColorNetwork, pictures: list[Picture]
) -> Parity:
    """Run both on noise of several shapes and on pictures."""
    manifest = session.manifest
    side = manifest.size
    shapes = [(1, side, side), (2, side, side), (3, manifest.stride, side)]
    if side > manifest.stride:
        shapes.append((2, side, side - manifest.stride))
    tensors = probes(manifest, shapes, pictures)
    differences = []
    for tensor in tensors:
        for temperature in (manifest.temperature, 1.0):
            with torch.inference_mode():
                expected = color_of(network, torch.from_numpy(tensor), temperature).numpy()
            differences.append(np.abs(session.predict(tensor, temperature) - expected).max())
    # numpy's max, unlike Python's, is no number as soon as one of them is none.
    return Parity(len(tensors), float(np.max(differences)))


def _rounding(
    rounded: AnnealedNetwork | PlainNetwork,
    exact: AnnealedNetwork | PlainNetwork,
    shown: list[FloatArray],
    temperature: float,
) -> float:
    """Return the mean difference of two networks' ab on some pictures."""
    differences = []
    with torch.inference_mode():
        for tensor in map(torch.from_numpy, shown):
            one, other = (color_of(net, tensor, temperature) for net in (rounded, exact))
            differences.append(float((one - other).abs().mean()))
    return float(np.mean(differences))


def probes(
    manifest: Manifest, shapes: Sequence[tuple[int, int, int]], pictures: list[Picture]
) -> list[FloatArray]:
    """Return what to compare on: noise of some shapes (N, H, W), and some pictures as they are run.

    Returns
    -------
    list of float32 arrays, shape (N, 1, H, W)
        L*, 0..100.

    Raises
    ------
    UsageError
        If there is no picture.
    """
    if not pictures:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    random = np.random.default_rng(0)
    tensors: list[FloatArray] = [
        random.uniform(0, 100, (n, 1, h, w)).astype(np.float32) for n, h, w in shapes
    ]
    for picture in pictures[:: math.ceil(len(pictures) / _COMPARED)]:
        rgb = picture.rgb()
        box = manifest.box(ImageSize(*rgb.shape[:2]))
        tensors.append(network_input(rgb, box, manifest.pad_lightness))
    return tensors


def _figures(session: OnnxColorNetwork, pictures: list[Picture]) -> dict[str, float | None]:
    """Measure the finished model, by the names of `evaluation.metrics`; None without any color."""
    recolorizer, result, gray = Recolorizer(session), Accumulator(), Accumulator()
    for picture in pictures:
        rgb = picture.rgb()
        result.add(rgb, recolorizer.recolor(rgb))
        gray.add(rgb, rgb_to_gray(rgb))
    figures, without = result.figures(), gray.figures()
    ratio = figures.l2 / without.l2 if without.l2 else math.nan
    values = {"l2_over_gray": ratio} | {key: getattr(figures, key) for key in _FIGURES}
    rounded = {k: None if math.isnan(v) else round(float(v), 4) for k, v in values.items()}
    return {"pictures": len(pictures), **rounded}
