"""Predict the color of frames with a network, and pull all of them toward one palette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.refinement import refine
from recolor_cli.guidance.palette_bank import bank_palettes
from recolor_cli.guidance.palette_matching import fit_weights
from recolor_cli.guidance.prediction import ColorFactors, Prediction
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.guidance.variants import STRENGTH, mean_distribution, select_palettes
from recolor_cli.model.color_network import ColorNetwork, DistributionNetwork
from recolor_cli.model.manifest import no_distribution
from recolor_cli.recolorizer import predict_ab
from recolor_cli.types import FloatArray
from recolor_cli.video.frames import FrameGeometry

PALETTE_FRAMES = 24  # frames of a film that the weights of a palette are fitted to
_PLACES = 200  # of each of these frames


class FramePredictor:
    """Predicts the color of frames.

    Parameters
    ----------
    network : ColorNetwork
    geometry : FrameGeometry
    options : RecolorOptions
        Temperature, strength and palette are used.

    Raises
    ------
    ModelError
        If there is a palette, and the network predicts one color only.
    """

    def __init__(
        self, network: ColorNetwork, geometry: FrameGeometry, options: RecolorOptions
    ) -> None:
        self._network, self._geometry, self._options = network, geometry, options
        self._temperature = options.temperature or network.manifest.temperature
        self._steering = options.steering
        if self._steering and not isinstance(network, DistributionNetwork):
            raise no_distribution(network.manifest.name)

    @property
    def needs_fit(self) -> bool:
        """Whether `fit_palette` must be called before `predict`."""
        steering = self._steering
        return bool(steering and (steering.effective_palette or steering.pick > 1))

    def fit_palette(self, canvases: Sequence[FloatArray]) -> None:
        """Fit the weights of the palette to some frames, so that these together take its colors.

        The weights then stay the same for all frames. So an object keeps its color, in all shots.
        Without a palette, the one of the picked variant is selected for these frames.

        Parameters
        ----------
        canvases : sequence of float32 arrays, shape (H, W)
            L* of the stored canvases of frames from all parts of the film.
        """
        steering = self._steering
        assert steering
        predictions = [self._distributions([canvas], steering)[0] for canvas in canvases]
        bins = predictions[0].distribution.bins
        samples = np.concatenate([p.palette_samples(_PLACES) for p in predictions], axis=1)
        factor = float(np.mean([prediction.factors.without_user for prediction in predictions]))
        if steering.effective_palette is None:
            mean, bank = mean_distribution(samples, self._temperature), bank_palettes()
            picked = select_palettes(mean, bins, bank, steering.pick - 1, steering.seed)[-1]
            steering = replace(steering, palette=picked, palette_strength=STRENGTH, pick=1)
        assert steering.palette
        weights = fit_weights(
            samples,
            bins,
            steering.palette.before_factor(factor),
            steering.palette_strength,
            self._temperature,
        )
        self._steering = replace(steering, palette_weights=weights)

    def predict(self, canvases: Sequence[FloatArray]) -> list[FloatArray]:
        """Predict the color of a batch of frames.

        Parameters
        ----------
        canvases : sequence of float32 arrays, shape (H, W)
            L* of their stored canvases.

        Returns
        -------
        list of float32 arrays, shape (h, w, 2)
            ab of the stored canvases, CIELAB units, with all factors applied.

        Raises
        ------
        InferenceError
            If the network fails, or its output is not finite.
        """
        if self._steering:
            return [p.variants(1)[0] for p in self._distributions(canvases, self._steering)]
        prediction = predict_ab(self._network, self._stack(canvases), self._options)
        stored = [self._geometry.rotate_to_stored(ab) for ab in prediction.transpose(0, 2, 3, 1)]
        if not self._network.manifest.refined:
            return stored
        inside = self._geometry.inside
        return [refine(ab, canvas, inside) for ab, canvas in zip(stored, canvases, strict=True)]

    def _distributions(
        self, canvases: Sequence[FloatArray], steering: Steering
    ) -> list[Prediction]:
        """Return the distributions for some frames, over the stored canvases."""
        network = self._network
        assert isinstance(network, DistributionNetwork)
        distribution = network.distribution(self._stack(canvases))
        predictions = []
        for index, canvas in enumerate(canvases):
            logits = distribution.logits[index].transpose(1, 2, 0)
            stored = self._geometry.rotate_to_stored(logits).transpose(2, 0, 1)
            factor = distribution.factor[index : index + 1]
            own = Distribution(stored[None], distribution.bins, factor)
            factors = ColorFactors(
                network.manifest.strength, self._options.strength, float(factor[0])
            )
            box = self._geometry.box
            refined = network.manifest.refined
            predictions.append(
                Prediction(own, canvas, box, self._temperature, factors, steering, refined)
            )
        return predictions

    def _stack(self, canvases: Sequence[FloatArray]) -> FloatArray:
        """Return the tensor that the network reads, shape (N, 1, H, W)."""
        upright = [self._geometry.rotate_upright(canvas) for canvas in canvases]
        return np.stack(upright)[:, None]
