"""Measure how steady the color of a film is with each method of smoothing, and what it costs.

    python tests/benchmarks/film.py CLIP... [--frames 150] [--model NAME] [--aged]
        [--distributions]

The clips are color films, which are turned gray, or black-and-white films, whose true color is
unknown. The table of a clip has, for each method: the warp error of ab along the motion, CDC (both
are defined in `temporal`), CIEDE2000 to the true colors of every fifth frame, and milliseconds of
smoothing per frame. Frames are measured at the size that the network reads.

--aged           Add film grain (4 L*) and flicker of brightness (2 L*) and contrast (5 %) to the
                 frames that the network reads. The result is painted onto the clean lightness.
--distributions  Also smooth the distributions before the annealed mean; needs a model with one.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.color import deltaE_ciede2000
from temporal import Motion, color_distribution_consistency, histogram

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cv2
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import ModelError
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.types import FloatArray, ImageSize
from recolor_cli.video import temporal_smoothing
from recolor_cli.video.temporal_smoothing import TemporalSmoother

OFF = float("inf")
GRAY = 2.0  # mean chroma, ab units; a clip below it is black and white with compression noise
METHODS = {"off": (OFF, False), "smoothing": (0.2, False), "motion-compensated": (0.2, True)}
HEADER = """
| method | warp error, ab | ratio to off | CIEDE2000 | ratio to off | CDC, 1/1000 | ms a frame |
|---|---:|---:|---:|---:|---:|---:|"""


def read_lab(clip: str, limit: int, size: int) -> Iterator[FloatArray]:
    """Yield Lab of the first frames, downsampled to a longest side of `size` px."""
    with av.open(clip) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= limit:
                return
            rgb = frame.to_ndarray(format="rgb24")
            box = Letterbox.fit(ImageSize(*rgb.shape[:2]), size)
            shape = (box.inner.width, box.inner.height)
            yield rgb_to_lab_cv2(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA))


def add_age(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return L* with the grain and flicker of an old print."""
    grain = cv2.GaussianBlur(random.normal(size=lightness.shape).astype(np.float32), (0, 0), 0.7)
    contrast, brightness = 1 + random.normal() * 0.05, random.normal() * 2
    worn = lightness * contrast + brightness + grain * (4 / grain.std())
    return np.clip(worn, 0, 100).astype(np.float32)


class DistributionSmoother:
    """Smooth the probabilities of all bins, then take the annealed mean."""

    def __init__(self, motion: bool, temperature: float) -> None:
        self.smoother = TemporalSmoother(0.2, motion=motion)
        self._temperature = temperature

    def smooth(self, canvas: FloatArray, distribution: Distribution) -> FloatArray:
        logits = distribution.logits[0].transpose(1, 2, 0)
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mean = self.smoother.smooth(canvas, np.ascontiguousarray(shares))
        sharp = np.maximum(mean, 1e-12) ** (1 / self._temperature)
        sharp /= sharp.sum(axis=-1, keepdims=True)
        return (sharp @ distribution.bins.centers * distribution.factor[0]).astype(np.float32)


def warp_many_channels(
    planes: FloatArray, flow: FloatArray, warp=temporal_smoothing.warp
) -> FloatArray:
    """Move planes with more channels than OpenCV takes at once."""
    if planes.ndim == 2:
        return warp(planes, flow)
    parts = np.array_split(planes, -(-planes.shape[2] // 4), axis=2)
    moved = [warp(np.ascontiguousarray(part), flow) for part in parts]
    return np.concatenate([m if m.ndim == 3 else m[..., None] for m in moved], axis=2)


class Colorizer:
    """Color the frames of a clip with every method, and time the methods."""

    def __init__(self, network: OnnxColorNetwork, distributions: bool) -> None:
        self.network, self.manifest = network, network.manifest
        self.of_ab = {
            name: TemporalSmoother(alpha, motion=motion)
            for name, (alpha, motion) in METHODS.items()
        }
        self.of_distributions = {}
        if distributions:
            self.of_distributions = {
                f"distributions, {name}": DistributionSmoother(motion, self.manifest.temperature)
                for name, (alpha, motion) in METHODS.items() if alpha != OFF
            }  # fmt: skip
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def cuts(self) -> int:
        return self.of_ab["off"].cuts

    def color(self, lightness: FloatArray, read: FloatArray) -> dict[str, FloatArray]:
        """Return ab for L* of a frame by each method, when the network reads the L* `read`."""
        box = Letterbox.fit(ImageSize(*lightness.shape), self.manifest.size)
        canvas = box.apply(read, self.manifest.pad_lightness)
        rows, columns = (slice(start, start + length) for start, length in
                         ((box.top, box.inner.height), (box.left, box.inner.width)))  # fmt: skip
        over = self.of_distributions
        for smoother in (*self.of_ab.values(), *(one.smoother for one in over.values())):
            smoother.inside = (rows, columns)
        tensor = canvas[None, None]
        ab = self.network.predict(tensor, self.manifest.temperature)[0].transpose(1, 2, 0)
        distribution = self.network.distribution(tensor) if over else None
        colors = {}
        for name, method in (self.of_ab | over).items():
            started = time.perf_counter()
            prediction = distribution if name in over else np.ascontiguousarray(ab)
            smoothed = method.smooth(canvas, prediction)
            self.seconds[name] += time.perf_counter() - started
            inside = box.invert(smoothed * self.manifest.strength)
            colors[name] = clip_chroma(lightness, inside)
        return colors


@dataclass
class Figures:
    """The measurements of one clip, by method."""

    frames: int = 0
    chromas: list[float] = field(default_factory=list)  # of the true colors
    errors: dict = field(default_factory=lambda: defaultdict(list))  # warp errors
    differences: dict = field(default_factory=lambda: defaultdict(list))  # CIEDE2000
    histograms: dict = field(default_factory=lambda: defaultdict(list))  # a list for each shot
    before: tuple[FloatArray, dict[str, FloatArray]] | None = None  # L* and ab

    def add(self, lab: FloatArray, colors: dict[str, FloatArray], is_cut: bool) -> None:
        """Measure one frame, given its true Lab and ab of each method."""
        self.frames += 1
        lightness = np.ascontiguousarray(lab[..., 0])
        self.chromas.append(np.hypot(lab[..., 1], lab[..., 2]).mean())
        if self.before is not None and not is_cut:
            motion = Motion(self.before[0], lightness)
            for name, color in colors.items():
                self.errors[name].append(motion.warp_error(self.before[1][name], color))
        for name, color in colors.items():
            if is_cut or not self.histograms[name]:
                self.histograms[name].append([])
            self.histograms[name][-1].append(histogram(lab_to_rgb_cv2(lightness, color)))
            if self.frames % 5 == 0:
                shown = np.dstack((lightness, color))
                self.differences[name].append(deltaE_ciede2000(lab, shown).mean())
        self.before = lightness, colors

    def write(self, seconds: dict[str, float]) -> None:
        """Print the table."""
        print(HEADER)
        off_error, off_difference = np.nanmean(self.errors["off"]), np.mean(self.differences["off"])
        is_gray = np.mean(self.chromas) < GRAY
        for name in self.errors:
            if is_gray and name == "truth":
                continue
            shots = [shot for shot in self.histograms[name] if len(shot) > 4]
            cdc = np.average([color_distribution_consistency(shot) for shot in shots],
                             weights=[len(shot) for shot in shots])  # fmt: skip
            error, difference = np.nanmean(self.errors[name]), np.mean(self.differences[name])
            to_truth = f"{difference:.2f} | {difference / off_difference:.3f}"
            took = f"{1000 * seconds[name] / self.frames:.1f}" if name in seconds else ""
            print(f"| {name} | {error:.3f} | {error / off_error:.2f} | "
                  f"{' | ' if is_gray else to_truth} | {1000 * cdc:.2f} | {took} |")  # fmt: skip


def measure(
    clip: str, network: OnnxColorNetwork, limit: int, aged: bool, distributions: bool
) -> None:
    """Print the table of one clip."""
    colorizer, figures = Colorizer(network, distributions), Figures()
    random = np.random.default_rng(0)
    for lab in read_lab(clip, limit, network.manifest.size):
        lightness = np.ascontiguousarray(lab[..., 0])
        cuts = colorizer.cuts
        read = add_age(lightness, random) if aged else lightness
        colors = colorizer.color(lightness, read)
        colors["truth"] = np.ascontiguousarray(lab[..., 1:])
        figures.add(lab, colors, colorizer.cuts > cuts)
    print(f"\n{Path(clip).name}, {figures.frames} frames, {colorizer.cuts} cuts, "
          f"{network.manifest.name}{', aged' if aged else ''}")  # fmt: skip
    figures.write(colorizer.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--model", default="poster")
    parser.add_argument("--aged", action="store_true")
    parser.add_argument("--distributions", action="store_true")
    arguments = parser.parse_args()
    network = OnnxColorNetwork.load(arguments.model, "cpu")
    if arguments.distributions:
        temporal_smoothing.warp = warp_many_channels
        try:
            network.require_distribution()
        except ModelError as error:
            parser.error(error.message)
    for clip in arguments.clips:
        measure(clip, network, arguments.frames, arguments.aged, arguments.distributions)


if __name__ == "__main__":
    main()
