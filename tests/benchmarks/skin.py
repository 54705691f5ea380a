"""Measure the color of faces by the lightness of their skin.

    python tests/benchmarks/skin.py PICTURES... -m poster [--sheet faces.jpg]

PICTURES are folders or tar files of color pictures that the model has not seen, with a face in the
middle, such as Labeled Faces in the Wild. Of each face the skin is measured: the pixels of an
ellipse in its middle whose true hue and chroma are those of skin. Faces are divided into thirds by
the mean L* of their skin.
Printed for each third: faces, mean L*, CIEDE2000, distance in ab, and chroma of result and truth.
The sheet shows gray, result and truth of some faces of each third, the darkest first.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000

from recolor_cli import Recolorizer
from recolor_cli.color.lab import rgb_to_gray, rgb_to_lab_cv2
from recolor_cli.evaluation.pictures import load_pictures

_FACE = 0.44  # share of the picture's sides
_LEAST_SKIN = 0.4  # share of the ellipse
_HUES, _LEAST_CHROMA = (15, 85), 6  # degrees, ab units
_SHOWN, _CELL = 10, 72  # faces of a third on the sheet; px


def skin_of(lab):
    """Return where the ellipse in the middle of a face, CIELAB (H, W, 3), shows skin."""
    height, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = (x / 0.6) ** 2 + (y / 0.75) ** 2 < 1
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    skin = inside & (hue > _HUES[0]) & (hue < _HUES[1]) & (chroma > _LEAST_CHROMA)
    return skin if skin.sum() > _LEAST_SKIN * inside.sum() else None


def measure(truth, result):
    """Return L*, CIEDE2000, ab distance and both chromas of a face's skin; None without skin."""
    true_lab, lab = rgb_to_lab_cv2(truth), rgb_to_lab_cv2(result)
    skin = skin_of(true_lab)
    if skin is None:
        return None
    true, found = true_lab[skin], lab[skin]
    return (
        true[:, 0].mean(),
        deltaE_ciede2000(true, found).mean(),
        np.linalg.norm(true[:, 1:] - found[:, 1:], axis=1).mean(),
        np.linalg.norm(found[:, 1:].mean(axis=0)),
        np.linalg.norm(true[:, 1:].mean(axis=0)),
    )


def main() -> None:
    """Print the table, and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("-m", "--model", default="poster")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    recolorizer = Recolorizer(arguments.model)
    figures, faces = [], []
    for picture in load_pictures(arguments.pictures):
        truth = picture.rgb()
        result = recolorizer.recolor(truth)
        place = tuple(
            slice(round(side * (1 - _FACE) / 2), round(side * (1 + _FACE) / 2))
            for side in truth.shape[:2]
        )
        if (found := measure(truth[place], result[place])) is not None:
            figures.append(found)
            faces.append((rgb_to_gray(truth[place]), result[place], truth[place]))
    order = np.argsort([found[0] for found in figures])
    table = np.array(figures)
    print(f"{'skin':10}{'faces':>6}{'L*':>6}{'CIEDE2000':>11}{'ab':>6}{'chroma':>8}{'true':>6}")
    rows = []
    for name, part in zip(("darkest", "middle", "lightest"), np.array_split(order, 3), strict=True):
        light, difference, distance, chroma, true = table[part].mean(axis=0)
        print(
            f"{name:10}{len(part):6}{light:6.0f}{difference:11.1f}{distance:6.1f}"
            f"{chroma:8.1f}{true:6.1f}"
        )
        shown = part[:: max(1, len(part) // _SHOWN)][:_SHOWN]
        for kind in range(3):
            cells = [np.asarray(Image.fromarray(faces[i][kind]).convert("RGB").resize((_CELL,) * 2))
                     for i in shown]  # fmt: skip
            rows.append(np.concatenate(cells, axis=1))
    if arguments.sheet:
        width = min(row.shape[1] for row in rows)
        Image.fromarray(np.concatenate([row[:, :width] for row in rows])).save(arguments.sheet)


if __name__ == "__main__":
    main()
