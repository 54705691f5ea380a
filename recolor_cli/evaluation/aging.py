"""Wear a picture as an old print is worn, to train and to measure on.

Modern color pictures that are turned gray are too clean. Old ones are faded, grainy, screened,
blurred, stained and creased. Each kind of wear has its own probability, and most pictures get a
few kinds.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from recolor_cli.types import FloatArray


def age(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add the wear of decades, cheap printing and scanning to a picture that stays legible.

    Parameters
    ----------
    lightness : float32 array, shape (H, W), L* in 0..100
    random : numpy Generator
        Decides the kinds of wear and the strength of each.

    Returns
    -------
    float32 array, shape (H, W), L* in 0..100
    """
    worn = lightness.astype(np.float32, copy=True)
    # The order in which wear happens: lens, print, years, scanner.
    for wear, chance in (
        (_blur, 0.3),
        (_grain, 0.4),
        (_halftone, 0.25),
        (_vignette, 0.25),
        (_fade, 0.6),
        (_stain, 0.3),
        (_crease, 0.2),
        (_compress, 0.4),
    ):
        if random.random() < chance:
            worn = np.clip(wear(worn, random), 0, 100)
    return worn


def _blur(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    return cast(FloatArray, cv2.GaussianBlur(lightness, (0, 0), random.uniform(0.4, 1.6)))


def _grain(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add film grain: noise of a random grain size, strongest in the middle tones."""
    noise = random.standard_normal(lightness.shape, np.float32)
    if random.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * 2.4  # about the same variance as before
    strength = np.float32(random.uniform(1, 7))
    return lightness + noise * strength * (0.4 + 0.6 * _midtone_weight(lightness))


def _halftone(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add the dots of a printing screen, as a scan at the network's size still shows them."""
    period, angle = random.uniform(2, 5), random.uniform(0, np.pi / 2)
    y, x = np.indices(lightness.shape, np.float32)
    across, along = (
        x * np.cos(a) + y * np.sin(a) for a in (np.float32(angle), np.float32(angle + np.pi / 2))
    )
    wave = np.cos(across * (2 * np.pi / period)) * np.cos(along * (2 * np.pi / period))
    # White paper and solid ink have no dots.
    dots = wave.astype(np.float32) * random.uniform(4, 20) * _midtone_weight(lightness)
    return cast(FloatArray, lightness + dots)


def _midtone_weight(lightness: FloatArray) -> FloatArray:
    """Return 1 for middle gray, falling to 0 for black and white."""
    return 1 - np.square(lightness / 50 - 1)


def _vignette(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    height, width = lightness.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - random.uniform(-0.3, 0.3)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - random.uniform(-0.3, 0.3)
    corner = np.clip((x**2 + y**2) / 2, 0, 1)
    change = random.uniform(-0.15, 0.45)  # darker corners, seldom lighter ones
    return cast(FloatArray, (lightness * (1 - change * corner)).astype(np.float32))


def _fade(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Turn black and white to grays and shift the middle tones."""
    black, white = random.uniform(0, 35), random.uniform(65, 100)
    gamma = np.exp(random.uniform(-0.45, 0.45))
    curve = (lightness / 100) ** gamma
    return cast(FloatArray, (black + (white - black) * curve).astype(np.float32))


def _stain(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add uneven paper: large soft patches, darker and lighter."""
    coarse = random.standard_normal((4, 4), np.float32)
    height, width = lightness.shape
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cast(FloatArray, lightness + patches * random.uniform(1, 6))


def _crease(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add folds from edge to edge and short scratches: thin straight lines, mostly light."""
    worn = np.ascontiguousarray(lightness)
    height, width = worn.shape
    for _ in range(int(random.integers(1, 5))):
        if random.random() < 0.5:  # a fold, as posters were sent folded
            at = random.uniform(0.2, 0.8)
            ends = (
                ((0, int(at * height)), (width - 1, int((at + random.normal(0, 0.01)) * height)))
                if random.random() < 0.5
                else (
                    (int(at * width), 0),
                    (int((at + random.normal(0, 0.01)) * width), height - 1),
                )
            )
        else:
            x, y = random.uniform(0, width), random.uniform(0, height)
            dx, dy = random.normal(0, 0.2, 2) * (width, height)
            ends = ((int(x), int(y)), (int(x + dx), int(y + dy)))
        line = np.zeros_like(worn)
        cv2.line(line, ends[0], ends[1], 1.0, 1, cv2.LINE_8)
        tone = random.uniform(60, 100) if random.random() < 0.75 else random.uniform(0, 40)
        opacity = random.uniform(0.2, 0.8)
        worn += line * (tone - worn) * opacity
    return worn


def _compress(lightness: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add the artifacts of a JPEG of low quality, as scans are often shared."""
    levels = np.rint(lightness * 2.55).astype(np.uint8)
    quality = int(random.integers(20, 70))
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32)
    return cast(FloatArray, decoded / np.float32(2.55))
