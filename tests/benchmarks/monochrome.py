"""Measure how often gray detection is wrong, on colored pictures and on prints made from them.

    python tests/benchmarks/monochrome.py data/val.tar

Each picture is judged in its own colors, and as a gray and a toned print. Half of the prints are
worn. Copies are saved as JPEG of quality 30 to 95 with any chroma subsampling.
"""

import argparse
import io

import cv2
import numpy as np
from PIL import Image

from recolor_cli.color.gamut_mapping import clip_chroma
from recolor_cli.color.gray_detection import detect_gray
from recolor_cli.color.lab import lab_to_rgb_cv2, rgb_to_lightness
from recolor_cli.evaluation.aging import age
from recolor_cli.evaluation.pictures import load_pictures


def make_print(lightness: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """Return a monochrome print, uint8 (H, W, 3)."""
    shape = lightness.shape
    ab = np.zeros((*shape, 2), np.float32)
    if kind != "gray":
        warm, strength = (230, 280), (10, 45)
        if kind != "cyanotype":
            warm, strength = (55, 95), (8, 32 if kind == "sepia" else 25)
        hue = np.deg2rad(random.uniform(*warm))
        direction = np.array([np.cos(hue), np.sin(hue)])
        middle = 1 - np.square(lightness / 50 - 1)
        chroma = middle * random.uniform(*strength) + lightness * random.uniform(0, 0.1)
        ab = chroma[..., None] * direction
        if kind == "split tone":  # blue shadows
            hue = np.deg2rad(random.uniform(230, 290))
            shadow = np.clip(1 - lightness / 50, 0, 1) * random.uniform(5, 15)
            ab = ab + shadow[..., None] * np.array([np.cos(hue), np.sin(hue)])
        if kind == "stained":  # uneven paper, and the noise of a scanner in every channel
            coarse = random.standard_normal((4, 4)).astype(np.float32)
            patches = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
            ab = ab + (patches * random.uniform(1, 4))[..., None] * direction
            ab = ab + random.standard_normal((*shape, 2)) * random.uniform(1, 6)
    return lab_to_rgb_cv2(lightness, clip_chroma(lightness, ab.astype(np.float32)))


def as_jpeg(rgb: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Save a picture as JPEG and load it again."""
    buffer = io.BytesIO()
    quality, subsampling = int(random.integers(30, 96)), int(random.integers(0, 3))
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    sources = parser.parse_args().pictures
    random = np.random.default_rng(0)
    found: dict[str, list[tuple[float, bool, bool]]] = {}
    for picture in load_pictures(sources):
        rgb = picture.rgb()
        group = "photographs" if "photos" in picture.name else "posters"
        group = f"{'old ' if '_old' in picture.name else ''}{group}"
        shown = {group: rgb, f"{group}, JPEG": as_jpeg(rgb, random)}
        lightness = rgb_to_lightness(rgb)
        for kind in ("gray", "sepia", "cyanotype", "split tone", "stained"):
            worn = age(lightness, random) if random.random() < 0.5 else lightness
            shown[f"{kind} prints"] = as_jpeg(make_print(worn, kind, random), random)
        for name, pixels in shown.items():
            seen = detect_gray(pixels)
            found.setdefault(name, []).append(
                (seen.spread, seen.is_monochrome, seen.has_gray_parts)
            )
    print("| pictures | count | spread, median | 5 % to 95 % | monochrome | with gray parts |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, rows in found.items():
        spread, monochrome, parts = np.array(rows, float).T
        low, middle, high = np.percentile(spread, (5, 50, 95))
        print(
            f"| {name} | {len(rows)} | {middle:.1f} | {low:.1f} to {high:.1f} "
            f"| {monochrome.mean():.1%} | {parts.mean():.1%} |"
        )


if __name__ == "__main__":
    main()
