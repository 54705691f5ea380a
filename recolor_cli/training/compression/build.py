"""Make network inputs, fold norms and measure the color shift, for int8 and float16 builds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.session import CPU_PROVIDER
from recolor_cli.recolorizer import network_input
from recolor_cli.types import FloatArray, ImageSize


@dataclass(frozen=True, slots=True)
class BuildReport:
    """Facts of a new build."""

    shift: float  # mean |d ab| from the model, ab units, over the compared pictures
    single_precision: int  # convolutions that stay in float32
    convolutions: int  # all of them


class Comparison:
    """Compare builds with a model by the color that they give to some pictures.

    Parameters
    ----------
    network : OnnxColorNetwork
        The model.
    pictures : sequence of Picture
    """

    def __init__(self, network: OnnxColorNetwork, pictures: Sequence[Picture]) -> None:
        self._inputs = list(network_inputs(network.manifest, pictures))
        self._temperature = network.manifest.temperature
        self.expected = self._predict(network)

    def _predict(self, network: OnnxColorNetwork) -> list[FloatArray]:
        return [network.predict(tensor, self._temperature) for tensor in self._inputs]

    def run(self, build: Path) -> list[FloatArray]:
        """Return the ab that a build gives to each picture."""
        return self._predict(OnnxColorNetwork.load(build, "cpu"))

    def shift(self, found: list[FloatArray]) -> float:
        """Return the mean |d ab| from the model, ab units; each picture counts the same."""
        pairs = zip(found, self.expected, strict=True)
        return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def network_inputs(manifest: Manifest, pictures: Sequence[Picture]) -> Iterator[FloatArray]:
    """Yield the network's input, (1, 1, H, W), for each picture."""
    for picture in pictures:
        rgb = picture.rgb()
        box = manifest.box(ImageSize(*rgb.shape[:2]))
        yield network_input(rgb, box, manifest.pad_lightness)


def fold_norms(model: Path, destination: Path) -> None:
    """Write a model with weights in float32 and its norms folded into the convolutions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(destination)
    options.log_severity_level = 4  # failures are exceptions, too
    onnxruntime.InferenceSession(str(model), options, providers=[CPU_PROVIDER])
