"""Compare ways to upsample ab, by how well color stays within its edges.

The ab of color pictures is shrunk to the network's resolution, upsampled in each way, and painted
onto the pictures' own lightness. All error is then that of the upsampling.

    python tests/benchmarks/upsampling.py posters.tar --pictures 60
    python tests/benchmarks/upsampling.py posters.tar --pictures 60 --model poster

Print for each way the mean CIEDE2000 of all pixels; that of the pixels near a color edge
(bleeding); the slope of color at these edges as a share of the truth's (1 is as sharp and in the
right place); how far ab leaves the range of the coarse values around it (ringing, mean ab units);
and the seconds per megapixel. With `--model`, the ab is the network's. Then the figures of all ways
contain the error of its colors, and only differences between the ways count. `--show FOLDER` writes
pictures: truth, bilinear, bicubic and guided side by side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lab_cv2
from recolor_cli.color.letterbox import Letterbox
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import AnyRgbImage, FloatArray, ImageSize

SHOWN = ("bilinear", "bicubic", "bicubic + half of guided detail, r 1, eps 100")
SIZE, STRIDE = 256, 4  # px: long side of the canvas; side of a pixel of the network's output
EDGE, BAND = 15.0, 4  # ab units from one pixel to the next but one; px to each side

# (L, coarse L and ab over the canvas, letterbox) -> ab at full size
Way = Callable[[FloatArray, FloatArray, Letterbox], FloatArray]


def coarse_of(lab: FloatArray, box: Letterbox) -> FloatArray:
    """Shrink Lab to the network's output, shape (h, w, 3); the padding has no weight."""
    small = cv2.resize(lab, (box.inner.width, box.inner.height), interpolation=cv2.INTER_AREA)
    planes = np.dstack([box.apply(np.ascontiguousarray(small[..., i]), 0) for i in range(3)])
    weight = box.apply(np.ones(small.shape[:2], np.float32), 0)
    share = (box.canvas.width // STRIDE, box.canvas.height // STRIDE)
    total = cv2.resize(weight, share, interpolation=cv2.INTER_AREA)[..., None]
    reduced = cv2.resize(planes, share, interpolation=cv2.INTER_AREA)
    return (reduced / np.maximum(total, 1e-6)).astype(np.float32)


def sample(planes: FloatArray, box: Letterbox, interpolation: int) -> FloatArray:
    """Upsample planes over the canvas by one of OpenCV's interpolations."""
    height, width = box.source.height, box.source.width
    scale = 1 / STRIDE
    x = (box.left + (np.arange(width) + 0.5) * box.inner.width / width) * scale - 0.5
    y = (box.top + (np.arange(height) + 0.5) * box.inner.height / height) * scale - 0.5
    low_x, high_x = box.left * scale, (box.left + box.inner.width) * scale - 1
    low_y, high_y = box.top * scale, (box.top + box.inner.height) * scale - 1
    grid = np.meshgrid(np.clip(x, low_x, high_x), np.clip(y, low_y, high_y))
    return cv2.remap(
        planes, *(axis.astype(np.float32) for axis in grid), interpolation,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def bilinear(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
    return sample(coarse[..., 1:], box, cv2.INTER_LINEAR)


def bicubic(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
    """Catmull-Rom, as `recolor` does it."""
    return box.invert(np.ascontiguousarray(coarse[..., 1:]))


def lanczos(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
    return sample(coarse[..., 1:], box, cv2.INTER_LANCZOS4)


def guided(radius: int, epsilon: float) -> Way:
    """Fast guided filter (He, Sun 2015): ab = a L + b, with a and b upsampled."""

    def way(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
        def mean(plane: FloatArray) -> FloatArray:
            return cv2.blur(plane, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

        guide = np.ascontiguousarray(coarse[..., 0])
        mean_guide = mean(guide)
        variance = mean(guide * guide) - mean_guide**2
        planes = []
        for channel in (1, 2):
            plane = np.ascontiguousarray(coarse[..., channel])
            a = (mean(guide * plane) - mean_guide * mean(plane)) / (variance + epsilon)
            b = mean(plane) - a * mean_guide
            planes += [mean(a), mean(b)]
        large = sample(np.dstack(planes), box, cv2.INTER_LINEAR)
        return large[..., 0::2] * lightness[..., None] + large[..., 1::2]

    return way


def guided_detail(radius: int, epsilon: float, share: float) -> Way:
    """Bicubic, plus a share of the detail that the guided filter adds at full resolution."""

    def way(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
        blurred = sample(np.ascontiguousarray(coarse[..., :1]), box, cv2.INTER_CUBIC)
        filter_ = guided(radius, epsilon)
        detail = filter_(lightness, coarse, box) - filter_(blurred, coarse, box)
        return bicubic(lightness, coarse, box) + np.float32(share) * detail

    return way


def joint_bilateral(spatial: float, tonal: float) -> Way:
    """Joint bilateral upsampling (Kopf et al. 2007) over 5 x 5 coarse pixels."""

    def way(lightness: FloatArray, coarse: FloatArray, box: Letterbox) -> FloatArray:
        total = np.zeros((*lightness.shape, 1), np.float32)
        result = np.zeros((*lightness.shape, 2), np.float32)
        size = np.array(coarse.shape[1::-1])
        nearest = sample(_places(size), box, cv2.INTER_NEAREST)
        exact = sample(_places(size), box, cv2.INTER_LINEAR)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                place = np.clip(nearest + np.array((dx, dy)), 0, size - 1)
                x, y = (place[..., i].astype(np.intp) for i in range(2))
                distance = np.square(place - exact).sum(axis=-1)
                contrast = np.square(coarse[y, x, 0] - lightness)
                weight = np.exp(
                    -distance / (2 * spatial**2) - contrast / (2 * tonal**2)
                ).astype(np.float32)[..., None]  # fmt: skip
                total += weight
                result += weight * coarse[y, x, 1:]
        return result / np.maximum(total, 1e-12)

    return way


def _places(size: np.ndarray) -> FloatArray:
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.dstack((x, y)).astype(np.float32)


WAYS: dict[str, Way] = {
    "bilinear": bilinear,
    "bicubic": bicubic,
    "Lanczos": lanczos,
    "guided, r 2, eps 25": guided(2, 25),
    "guided, r 2, eps 100": guided(2, 100),
    "bicubic + half of guided detail, r 1, eps 100": guided_detail(1, 100, 0.5),
    "bicubic + guided detail, r 1, eps 400": guided_detail(1, 400, 1.0),
    "joint bilateral, 0.8 px, 10 L*": joint_bilateral(0.8, 10),
    "joint bilateral, 0.8 px, 30 L*": joint_bilateral(0.8, 30),
}


def slopes(ab: FloatArray) -> FloatArray:
    """Return the difference of ab between a pixel's two neighbors, across and down: (H, W, 4)."""
    across, down = np.array([[-1, 0, 1.0]]), np.array([[-1], [0], [1.0]])
    return np.dstack([cv2.filter2D(ab, -1, kernel) for kernel in (across, down)])


def color_edges(lab: FloatArray) -> np.ndarray:
    """Return which pixels lie at a steep change of color."""
    steps = slopes(np.ascontiguousarray(lab[..., 1:])).reshape(*lab.shape[:2], 2, 2)
    return np.linalg.norm(steps, axis=-1).max(axis=-1) > EDGE


def paint_with(rgb: AnyRgbImage, coarse: FloatArray, box: Letterbox, name: str) -> AnyRgbImage:
    """Paint a picture with ab that is upsampled in one of the ways."""
    lightness = np.ascontiguousarray(rgb_to_lab_cv2(rgb)[..., 0])
    ab = WAYS[name](lightness, coarse, box)
    return lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="folders and tar files of color pictures")
    parser.add_argument("--pictures", type=int, default=60, help="how many, evenly spread")
    parser.add_argument("--model", help="upsample the ab of this network instead of the true ab")
    parser.add_argument("--show", type=Path, help="folder for pictures")
    arguments = parser.parse_args()
    found = load_pictures(arguments.sources)
    chosen = found[:: max(1, len(found) // arguments.pictures)][: arguments.pictures]
    recolorizer = Recolorizer(arguments.model) if arguments.model else None
    sums = {name: np.zeros(5) for name in WAYS}
    differences: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    edges = []
    for number, picture in enumerate(chosen):
        rgb = picture.rgb()
        lab = rgb_to_lab_cv2(rgb)
        lightness = np.ascontiguousarray(lab[..., 0])
        size = ImageSize(*rgb.shape[:2])
        box = recolorizer.network.manifest.box(size) if recolorizer else Letterbox.fit(size, SIZE)
        coarse = coarse_of(lab, box)
        if recolorizer:
            coarse[..., 1:] = recolorizer.predict(rgb)
        edge = color_edges(lab)
        band = cv2.dilate(edge.astype(np.uint8), np.ones((2 * BAND + 1,) * 2)) > 0
        true = slopes(np.ascontiguousarray(lab[..., 1:]))[edge]
        edges.append(band.mean())
        kernel = np.ones((3, 3))
        most = sample(cv2.dilate(coarse[..., 1:], kernel), box, cv2.INTER_NEAREST)
        least = sample(cv2.erode(coarse[..., 1:], kernel), box, cv2.INTER_NEAREST)
        for name, way in WAYS.items():
            started = time.perf_counter()
            ab = way(lightness, coarse, box)
            seconds = (time.perf_counter() - started) / rgb[..., 0].size * 1e6
            result = rgb_to_lab_cv2(lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab)))
            difference = deltaE_ciede2000(lab, result)
            near = difference[band].mean() if band.any() else difference.mean()
            given = slopes(np.ascontiguousarray(result[..., 1:]))[edge]
            slope = (given * true).sum() / max((true * true).sum(), 1e-6)
            beyond = np.maximum(np.maximum(ab - most, least - ab), 0).mean()
            sums[name] += (difference.mean(), near, slope, beyond, seconds)
            differences[name].append((difference.mean(), near))
        if arguments.show:
            arguments.show.mkdir(parents=True, exist_ok=True)
            side = [rgb, *(paint_with(rgb, coarse, box, name) for name in SHOWN)]
            path = arguments.show / f"{number:03d}.png"
            cv2.imwrite(str(path), np.hstack(side)[..., ::-1])
    print(f"{len(chosen)} pictures, {np.mean(edges):.0%} of the pixels near a color edge")
    print("| way | CIEDE2000 | near color edges | slope | ringing | s / megapixel |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, total in sums.items():
        m = total / len(chosen)
        print(f"| {name} | {m[0]:.3f} | {m[1]:.3f} | {m[2]:.3f} | {m[3]:.3f} | {m[4]:.3f} |")
    better, nearer = (np.array(differences[SHOWN[1]]) - np.array(differences[SHOWN[2]])).T
    for what, gain in (("all pixels", better), ("near color edges", nearer)):
        error = gain.std(ddof=1) / len(gain) ** 0.5
        print(
            f"{SHOWN[2]} instead of bicubic, {what}: better by {gain.mean():.4f} +- {error:.4f}, "
            f"in {(gain > 0).mean():.0%} of the pictures"
        )


if __name__ == "__main__":
    main()
