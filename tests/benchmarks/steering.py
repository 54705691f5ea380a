"""Measure variants, palettes, hints and confidence, for docs/steering.md.

    python tests/benchmarks/steering.py variants posters.tar --pictures 200
    python tests/benchmarks/steering.py palette posters.tar --pictures 60
    python tests/benchmarks/steering.py hints posters.tar --pictures 40
    python tests/benchmarks/steering.py confidence posters.tar --pictures 200

The sources are color pictures, which serve as truths; N of them are taken, evenly spread.
``--sheet FILE.png`` draws some of the results.

variants: Print the mean CIEDE2000 between the variants of a picture; the L2 to the truth of each
variant, of the best and of the first; and the share of the change of color that lies where
lightness is flat (see `splotchiness`).

palette: Pull each picture toward another picture and toward a list of colors. Print the distance of
the histograms over the 394 bins before and after: the earth mover's distance in ab units, and total
variation, plain and after a blur of 8 ab units.

hints: Give the true color of one to ten places. Print the CPU seconds, the error at the hinted
places, and the CIEDE2000 of the whole picture. Truths stand for the knowledge of a user.

confidence: Print how well the mean entropy of a picture predicts its CIEDE2000, as Spearman's rank
correlation, and the error of the least certain tenth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.guidance.hints import Hint, Hints
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.guidance.recolor_options import DEFAULT_STRENGTH, RecolorOptions, Steering
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import RgbImage

BINS = AbBins.srgb()
COLORS = (
    "#c8102e,#f2c14e,#123",
    "#0b3954,#bfd7ea,#ff6663",
    "#264653,#2a9d8f,#e9c46a,#e76f51",
    "#3a0ca3,#f72585,#4cc9f0",
    "#606c38,#fefae0,#dda15e",
    "#000000,#14213d,#fca311",
)
FLAT = 2.0  # L* a pixel, below which, 3 px around, lightness is flat
CELL = 200  # px, of a sheet

Rows = list[list[RgbImage]]


def difference(one: RgbImage, other: RgbImage) -> float:
    """Return the mean CIEDE2000 of two pictures."""
    return float(deltaE_ciede2000(rgb_to_lab_cv2(one), rgb_to_lab_cv2(other)).mean())


def l2(truth: RgbImage, result: RgbImage) -> float:
    return float(np.square(rgb_to_lab_cv2(truth)[..., 1:] - rgb_to_lab_cv2(result)[..., 1:]).mean())


def splotchiness(rgb: RgbImage) -> float:
    """Return how much color changes where lightness is flat, for the share of such pixels.

    1: as much there as anywhere; 0: color changes at edges of lightness only. nan where fewer than
    1 pixel in 20 is flat.
    """
    lab = cv2.GaussianBlur(rgb_to_lab_cv2(rgb), (0, 0), 1)
    slopes = []
    for plane in cv2.split(lab):
        across, along = (cv2.Sobel(plane, cv2.CV_32F, *axis) / 8 for axis in ((1, 0), (0, 1)))
        slopes.append(np.hypot(across, along))
    flat = cv2.dilate(slopes[0], np.ones((7, 7))) < FLAT
    change = np.hypot(slopes[1], slopes[2])
    if flat.mean() < 0.05:
        return np.nan
    return float(change[flat].sum() / max(change.sum(), 1e-6) / flat.mean())


def variants(truths: list[RgbImage], network: OnnxColorNetwork, count: int) -> Rows:
    recolorizer = Recolorizer(network)
    pairs, errors, splotches, seconds, rows = [], [], [], [], []
    for truth in truths:
        started = time.thread_time()
        colorings = recolorizer.predict_distribution(truth).variants(count)
        seconds.append(time.thread_time() - started)
        results = [recolorizer.paint(truth, ab) for ab in colorings]
        pairs.append(
            np.mean([difference(results[i], results[j]) for i in range(count) for j in range(i)])
        )
        errors.append([l2(truth, result) for result in results])
        splotches.append([splotchiness(rgb) for rgb in (truth, *results)])
        rows.append([truth, *results])
    error = np.array(errors)
    first = error[:, 0].mean()
    print(
        f"{len(truths)} pictures, {count} variants each, "
        f"{np.mean(seconds):.2f} s of a CPU a picture"
    )
    print(
        f"CIEDE2000 between variants: mean {np.mean(pairs):.2f}, "
        f"10th percentile {np.percentile(pairs, 10):.2f}, least {min(pairs):.2f}; "
        f"at least 6 in {np.mean(np.array(pairs) >= 6):.0%} of the pictures"
    )
    print(f"L2 of the first: {first:.1f}")
    print(f"L2 / that of the first, each: {', '.join(f'{r:.2f}' for r in error.mean(0) / first)}")
    print(f"L2 / that of the first, best of {count}: {error.min(axis=1).mean() / first:.2f}")
    ratios = error / error[:, :1]
    print(
        f"mean of each picture's ratio to its first: best of {count} "
        f"{ratios.min(axis=1).mean():.3f}, the others {ratios[:, 1:].mean():.2f}"
    )
    truth, own, *others = np.nanmean(splotches, axis=0)
    print(f"splotchiness: truth {truth:.3f}, first {own:.3f}, others {np.mean(others):.3f}")
    return rows


def palette(truths: list[RgbImage], network: OnnxColorNetwork, strength: float) -> Rows:
    plain = Recolorizer(network)
    rows: Rows = []
    for kind in ("pictures", "colors"):
        figures, splotches = [], []
        for number, truth in enumerate(truths):
            if kind == "pictures":
                shown = truths[(number * 7 + 3) % len(truths)]
                reference = Palette.of_picture(shown)
            else:
                reference = load_palette(COLORS[number % len(COLORS)])
                shown = _draw_swatch(COLORS[number % len(COLORS)])
            if shown is truth:
                continue
            steered = RecolorOptions(steering=Steering(reference, strength))
            before, after = plain.recolor(truth), Recolorizer(network, steered).recolor(truth)
            figures.append([_histogram_distances(rgb, reference) for rgb in (before, after)])
            splotches.append([splotchiness(rgb) for rgb in (truth, before, after)])
            rows.append([shown, before, after])
        values = np.array(figures)  # (pictures, before and after, distances)
        closer = 1 - values[:, 1].mean(axis=0) / values[:, 0].mean(axis=0)
        print(f"{len(values)} pictures toward {kind}, strength {strength}")
        for name, index in (("earth mover", 0), ("variation", 1), ("blurred variation", 2)):
            first, then = values[:, :, index].mean(axis=0)
            some = np.mean(values[:, 1, index] <= 0.7 * values[:, 0, index])
            print(
                f"  {name}: {first:.2f} -> {then:.2f}, {closer[index]:.0%} closer; "
                f"at least 30 % in {some:.0%} of the pictures"
            )
        truth_, own, pulled = np.nanmean(splotches, axis=0)
        print(f"  splotchiness: truth {truth_:.3f}, without {own:.3f}, with {pulled:.3f}")
    return rows


def _histogram_distances(rgb: RgbImage, reference: Palette) -> tuple[float, float, float]:
    found = Palette.of_picture(rgb)
    one, other = found.histogram(BINS), reference.histogram(BINS)
    signatures = [
        np.column_stack((share[share > 0], BINS.centers[share > 0])) for share in (one, other)
    ]
    moved, *_ = cv2.EMD(*signatures, cv2.DIST_L2)
    blurred = np.abs(found.histogram(BINS, 8.0) - reference.histogram(BINS, 8.0)).sum() / 2
    return moved, float(np.abs(one - other).sum() / 2), float(blurred)


def _draw_swatch(colors: str) -> RgbImage:
    from recolor_cli.guidance.color_texts import parse_color

    parsed = np.array([parse_color(color) for color in colors.split(",")], np.uint8)
    return np.ascontiguousarray(
        np.broadcast_to(parsed[None].repeat(40, axis=1), (180, 40 * len(parsed), 3))
    )


def hints(truths: list[RgbImage], network: OnnxColorNetwork) -> Rows:
    random = np.random.default_rng(0)
    rows: Rows = []
    plain = Recolorizer(network)
    before = [plain.recolor(truth) for truth in truths]
    base = np.mean([difference(*pair) for pair in zip(truths, before, strict=True)])
    print(f"{len(truths)} pictures; CIEDE2000 without hints {base:.2f}")
    for count in (1, 3, 10):
        seconds, errors, at_hint, untouched = [], [], [], []
        for truth, own in zip(truths, before, strict=True):
            height, width = truth.shape[:2]
            soft = cv2.GaussianBlur(truth, (0, 0), 2)
            places = [
                (int(random.integers(width)), int(random.integers(height))) for _ in range(count)
            ]
            given = tuple(Hint(x, y, tuple(map(int, soft[y, x]))) for x, y in places)
            options = RecolorOptions(steering=Steering(hints=Hints(given)))
            recolorizer = Recolorizer(network, options)
            answer = recolorizer.predict_distribution(truth)
            started = time.thread_time()
            (ab,) = answer.variants(1)
            seconds.append(time.thread_time() - started)
            result = recolorizer.paint(truth, ab)
            errors.append(difference(truth, result))
            sought, got = (
                rgb_to_lab_cv2(np.array([[p[y, x] for x, y in places]])) for p in (soft, result)
            )
            at_hint.append(np.linalg.norm(sought[..., 1:] - got[..., 1:], axis=-1).mean())
            moved = np.abs(rgb_to_lab_cv2(own)[..., 1:] - rgb_to_lab_cv2(result)[..., 1:]).max(
                axis=-1
            )
            untouched.append(np.mean(moved < 2))
            if count == 3:
                marked = own.copy()
                for x, y in places:
                    cv2.circle(marked, (x, y), 5, tuple(map(int, soft[y, x])), -1)
                    cv2.circle(marked, (x, y), 6, (255, 255, 255), 1)
                rows.append([truth, marked, result])
        print(
            f"  {count} hints: CIEDE2000 {np.mean(errors):.2f}, "
            f"CPU seconds mean {np.mean(seconds):.2f} most {max(seconds):.2f}, "
            f"at the hints {np.mean(at_hint):.2f} ab units off, "
            f"{np.mean(untouched):.0%} of the pixels untouched (2 ab units)"
        )
    return rows


def confidence(truths: list[RgbImage], network: OnnxColorNetwork) -> Rows:
    from scipy.stats import spearmanr

    recolorizer = Recolorizer(network)
    entropies, errors, rows, within = [], [], [], []
    for truth in truths:
        answer = recolorizer.predict_distribution(truth)
        (ab,) = answer.variants(1)
        result = recolorizer.paint(truth, ab)
        entropies.append(answer.uncertainty)
        errors.append(difference(truth, result))
        rows.append([truth, result, answer.confidence_map()])
        plane = answer.letterbox.invert(answer.entropy[..., None])[..., 0]
        error = deltaE_ciede2000(rgb_to_lab_cv2(truth), rgb_to_lab_cv2(result))
        within.append(spearmanr(plane[::7, ::7].ravel(), error[::7, ::7].ravel()).statistic)
    entropy, error = np.array(entropies), np.array(errors)
    rank = spearmanr(entropy, error).statistic
    flagged = np.argsort(-entropy)[: max(1, len(truths) // 10)]
    low, middle, high = np.percentile(entropy, [5, 50, 95])
    print(f"{len(truths)} pictures; entropy {low:.2f} {middle:.2f} {high:.2f} nats (5, 50, 95 %)")
    print(f"Spearman's rank correlation with CIEDE2000: {rank:.2f} between pictures, ", end="")
    print(f"{np.nanmean(within):.2f} between the pixels of one")
    print(
        f"CIEDE2000: all {error.mean():.2f}, least certain tenth {error[flagged].mean():.2f}",
        end="",
    )
    print(f", most certain tenth {error[np.argsort(entropy)[: len(flagged)]].mean():.2f}")
    return [rows[index] for index in np.argsort(-entropy)]


def save_sheet(rows: Rows, path: Path, limit: int = 20) -> None:
    """Draw the pictures of some rows side by side."""
    chosen = rows[:: max(1, len(rows) // limit)][:limit]
    columns = max(map(len, chosen))
    sheet = Image.new("RGB", (columns * CELL, len(chosen) * CELL), "white")
    for y, row in enumerate(chosen):
        for x, rgb in enumerate(row):
            image = Image.fromarray(rgb)
            image.thumbnail((CELL - 4, CELL - 4))
            sheet.paste(image, (x * CELL, y * CELL))
    sheet.save(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["variants", "palette", "hints", "confidence"])
    parser.add_argument("sources", nargs="+", help="folders and tar files of color pictures")
    parser.add_argument("--pictures", type=int, default=60, help="how many, evenly spread")
    parser.add_argument("--only", default="", help="part of the names of the pictures")
    parser.add_argument("--count", type=int, default=4, help="of variants")
    parser.add_argument("--strength", type=float, default=DEFAULT_STRENGTH, help="of the palette")
    parser.add_argument("--sheet", type=Path, help="a PNG to show some results in")
    arguments = parser.parse_args()
    found = [p for p in load_pictures(arguments.sources) if p.is_one_of([arguments.only])]
    chosen = found[:: max(1, len(found) // arguments.pictures)][: arguments.pictures]
    truths = [picture.rgb() for picture in chosen]
    network = OnnxColorNetwork.load("poster", "cpu", threads=1)
    measure: dict[str, Callable[[], Rows]] = {
        "variants": lambda: variants(truths, network, arguments.count),
        "palette": lambda: palette(truths, network, arguments.strength),
        "hints": lambda: hints(truths, network),
        "confidence": lambda: confidence(truths, network),
    }
    rows = measure[arguments.what]()
    if arguments.sheet:
        save_sheet(rows, arguments.sheet)


if __name__ == "__main__":
    main()
