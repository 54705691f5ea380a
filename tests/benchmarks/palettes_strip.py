"""Draw docs/palettes.jpg: six posters in their own colors and in six palettes by name.

python tests/benchmarks/palettes_strip.py docs/palettes.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from drawn_posters import as_array, night, photograph, window
from PIL import Image, ImageDraw, ImageFont

import recolor_cli
from recolor_cli import Recolorizer, RecolorOptions, Steering, load_palette
from recolor_cli.image.decode import decode

_PALETTES = ("1930s", "1950s", "1980s", "modern", "noir", "technicolor")
_WIDTH, _HEIGHT, _TEXT, _GAP = 118, 169, 20, 4  # px


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    demo = decode((Path(recolor_cli.__file__).parent / "demo.jpg").read_bytes()).rgb
    posters = [
        demo,
        as_array(night()),
        as_array(window()),
        as_array(photograph("coffee", "Black Morning")),
        as_array(photograph("chelsea", "The Witness")),
        as_array(photograph("rocket", "Ignition")),
    ]
    network = Recolorizer().network
    columns = {"own colors": RecolorOptions()} | {
        name: RecolorOptions(steering=Steering(load_palette(name))) for name in _PALETTES
    }
    size = (
        len(columns) * (_WIDTH + _GAP) - _GAP,
        _TEXT + len(posters) * (_HEIGHT + _GAP) - _GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (name, options) in enumerate(columns.items()):
        left = column * (_WIDTH + _GAP)
        draw.text((left + 2, 2), name, "black", font)
        recolorizer = Recolorizer(network, options)
        for row, poster in enumerate(posters):
            new = np.asarray(recolorizer.recolor(poster))
            small = cv2.resize(new, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(small), (left, _TEXT + row * (_HEIGHT + _GAP)))
    sheet.save(target, "JPEG", quality=82, optimize=True)


if __name__ == "__main__":
    main()
