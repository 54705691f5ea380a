"""How steady is the color of a film, and at what cost?

Measured on color film turned gray, or on black-and-white film, of which no true color is known.

    python tests/benchmarks/film.py CLIP... [--frames 150] [--model NAME] [--aged]
        [--distributions]

For each clip and each way of smoothing: the warp error of ab along the motion, CDC, CIEDE2000 to
the true colors of each fifth frame (`temporal` and `metrics` define them),
and milliseconds a frame for the smoothing. Frames are measured at the size the network sees.
`--aged` shows the network the frames with film grain (4 L*), and with brightness and contrast that
flicker from frame to frame (2 L* and 5 %), while the true lightness is painted; `--distributions`
adds smoothing of the distributions before the annealed mean, for models that have one.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.color import deltaE_ciede2000
from temporal import Motion, color_distribution_consistency, histogram

from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.color.gamut import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cv2
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.errors import ModelError
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.types import FloatArray, ImageSize
from recolor_cli.video import temporal_smoothing as smoothing
from recolor_cli.video.temporal_smoothing import TemporalSmoother

OFF = float("inf")
GRAY = 2.0  # mean chroma, ab units: less is a black-and-white film and what compression makes of it
WAYS = {"off": (OFF, False), "smoothing": (0.2, False), "motion-compensated": (0.2, True)}


def frames(clip: str, limit: int, size: int) -> Iterator[FloatArray]:
    """Yield Lab of the frames, reduced to fit the network's square."""
    with av.open(clip) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= limit:
                return
            rgb = frame.to_ndarray(format="rgb24")
            box = Letterbox.fit(ImageSize(*rgb.shape[:2]), size)
            shape = (box.inner.width, box.inner.height)
            yield rgb_to_lab_cv2(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA))


def aged(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return L* as an old print shows it: with grain and flicker."""
    grain = cv2.GaussianBlur(random.normal(size=lightness.shape).astype(np.float32), (0, 0), 0.7)
    contrast, brightness = 1 + random.normal() * 0.05, random.normal() * 2
    worn = lightness * contrast + brightness + grain * (4 / grain.std())
    return np.clip(worn, 0, 100).astype(np.float32)


class OverDistributions:
    """Smooths the probabilities of all bins, and takes the annealed mean afterwards."""

    def __init__(self, motion: bool, temperature: float) -> None:
        self._smoother = TemporalSmoother(0.2, motion=motion)
        self._temperature = temperature

    def step(self, square: FloatArray, told: Distribution) -> FloatArray:
        logits = told.logits[0].transpose(1, 2, 0)
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mean = self._smoother.step(square, np.ascontiguousarray(shares))
        sharp = np.maximum(mean, 1e-12) ** (1 / self._temperature)
        sharp /= sharp.sum(axis=-1, keepdims=True)
        return (sharp @ told.bins.centers * told.factor[0]).astype(np.float32)


def warp_many(planes: FloatArray, flow: FloatArray, warp=smoothing.warp) -> FloatArray:
    """Move planes with more channels than OpenCV takes at once."""
    if planes.ndim == 2:
        return warp(planes, flow)
    parts = np.array_split(planes, -(-planes.shape[2] // 4), axis=2)
    moved = [warp(np.ascontiguousarray(part), flow) for part in parts]
    return np.concatenate([m if m.ndim == 3 else m[..., None] for m in moved], axis=2)


def measure(clip: str, network: OnnxColorNetwork, limit: int, is_aged: bool, deep: bool) -> None:
    """Print the table of one clip."""
    manifest = network.manifest
    ways = {name: TemporalSmoother(alpha, motion=moves) for name, (alpha, moves) in WAYS.items()}
    over = {}
    if deep:
        over = {
            f"distributions, {name}": OverDistributions(moves, manifest.temperature)
            for name, (alpha, moves) in WAYS.items() if alpha != OFF
        }  # fmt: skip
    random = np.random.default_rng(0)
    errors, differences, histograms = (defaultdict(list) for _ in range(3))
    seconds: defaultdict[str, float] = defaultdict(float)
    before: dict[str, FloatArray] | None = None
    previous: FloatArray | None = None
    cuts = count = 0
    chromas = []
    for lab in frames(clip, limit, manifest.size):
        count += 1
        lightness = np.ascontiguousarray(lab[..., 0])
        box = Letterbox.fit(ImageSize(*lightness.shape), manifest.size)
        seen = aged(lightness, random) if is_aged else lightness
        square = box.apply(seen, manifest.pad_lightness)
        rows, columns = (slice(a, a + n) for a, n in
                         ((box.top, box.inner.height), (box.left, box.inner.width)))  # fmt: skip
        for smoother in (*ways.values(), *(o._smoother for o in over.values())):
            smoother.inside = (rows, columns)
        answers = {}
        ab = network.predict(square[None, None], manifest.temperature)[0].transpose(1, 2, 0)
        told = network.distribution(square[None, None]) if over else None
        for name, way in (ways | over).items():
            started = time.perf_counter()
            answers[name] = way.step(square, told if name in over else np.ascontiguousarray(ab))
            seconds[name] += time.perf_counter() - started
        colors = {n: clip_chroma(lightness, box.invert(a * manifest.strength))
                  for n, a in answers.items()}  # fmt: skip
        colors["truth"] = np.ascontiguousarray(lab[..., 1:])
        chromas.append(np.hypot(lab[..., 1], lab[..., 2]).mean())
        is_cut = ways["off"].cuts > cuts
        cuts = ways["off"].cuts
        if before is not None and previous is not None and not is_cut:
            motion = Motion(previous, lightness)
            for name, color in colors.items():
                errors[name].append(motion.warp_error(before[name], color))
        for name, color in colors.items():
            if is_cut or not histograms[name]:
                histograms[name].append([])  # of a shot
            histograms[name][-1].append(histogram(lab_to_rgb_cv2(lightness, color)))
            if count % 5 == 0:
                differences[name].append(
                    deltaE_ciede2000(lab, np.dstack((lightness, color))).mean()
                )
        before, previous = colors, lightness
    print(f"\n{Path(clip).name}, {count} frames, {cuts} cuts, {manifest.name}"
          f"{', aged' if is_aged else ''}\n")  # fmt: skip
    print("| way | warp error, ab | of off's | CIEDE2000 | of off's | CDC, 1/1000 | ms a frame |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    base = np.nanmean(errors["off"]), np.mean(differences["off"])
    is_gray = np.mean(chromas) < GRAY
    for name in errors:
        if is_gray and name == "truth":
            continue
        shots = [s for s in histograms[name] if len(s) > 4]
        cdc = np.average([color_distribution_consistency(s) for s in shots],
                         weights=[len(s) for s in shots])  # fmt: skip
        error, difference = np.nanmean(errors[name]), np.mean(differences[name])
        took = f"{1000 * seconds[name] / count:.1f}" if name in seconds else ""
        from_truth = "| | |" if is_gray else f"| {difference:.2f} | {difference / base[1]:.3f} |"
        print(f"| {name} | {error:.3f} | {error / base[0]:.2f} {from_truth} {1000 * cdc:.2f} | "
              f"{took} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--model", default="poster")
    parser.add_argument("--aged", action="store_true")
    parser.add_argument("--distributions", action="store_true")
    arguments = parser.parse_args()
    network = OnnxColorNetwork.load(arguments.model, "cpu")
    deep = arguments.distributions
    if deep:
        smoothing.warp = warp_many
        try:
            size = network.manifest.size
            network.distribution(np.zeros((1, 1, size, size), np.float32))
        except ModelError as error:
            parser.error(error.message)
    for clip in arguments.clips:
        measure(clip, network, arguments.frames, arguments.aged, deep)


if __name__ == "__main__":
    main()
