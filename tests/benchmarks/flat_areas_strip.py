"""Draw docs/flat-areas.jpg: two drawn posters without and with one color for each flat area.

python tests/benchmarks/flat_areas_strip.py docs/flat-areas.jpg
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recolor_cli import Recolorizer

_WIDTH, _HEIGHT, _GAP = 300, 430, 6  # px


def night() -> Image.Image:
    """Draw a moon over hills."""
    poster = Image.new("L", (_WIDTH, _HEIGHT), 92)
    draw = ImageDraw.Draw(poster)
    draw.ellipse((150, 60, 250, 160), 225)
    draw.polygon([(0, 330), (90, 240), (190, 350), (300, 270), (300, 430), (0, 430)], 40)
    draw.text((22, 372), "THE LONG ROAD", 225, ImageFont.load_default(34))
    return poster


def window() -> Image.Image:
    """Draw a face of two tones on a light ground."""
    poster = Image.new("L", (_WIDTH, _HEIGHT), 168)
    draw = ImageDraw.Draw(poster)
    draw.rectangle((30, 90, 270, 330), 215)
    draw.ellipse((95, 120, 205, 270), 120)
    draw.pieslice((95, 120, 205, 270), 90, 270, 70)
    draw.rectangle((60, 262, 240, 330), 35)
    draw.text((30, 24), "TWO FACES", 30, ImageFont.load_default(44))
    draw.text((32, 350), "a drawn film", 30, ImageFont.load_default(30))
    return poster


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    recolorizer = Recolorizer()
    network = recolorizer.network
    pictures = []
    for poster in (night(), window()):
        rgb = np.asarray(poster.convert("RGB"))
        for refined in (False, True):
            network.manifest = replace(network.manifest, refined=refined)
            pictures += [recolorizer.recolor(rgb), np.full((_HEIGHT, _GAP, 3), 255, np.uint8)]
    sheet = np.concatenate(pictures[:-1], axis=1)
    Image.fromarray(sheet).save(target, "JPEG", quality=82, optimize=True)


if __name__ == "__main__":
    main()
