"""Draw docs/strength-and-temperature.jpg: the demo's picture at several -T and --strength.

python tests/benchmarks/strip.py docs/strength-and-temperature.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import recolor_cli
from recolor_cli import Recolorizer, RecolorOptions
from recolor_cli.image.decode import decode

_ROWS = (
    ("-T", "temperature", (0.05, 0.2, 0.38, 0.7, 1.5)),
    ("--strength", "strength", (0.0, 0.5, 1.0, 1.5, 2.0)),
)
_WIDTH, _TEXT, _GAP = 168, 22, 6  # px


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    rgb = decode((Path(recolor_cli.__file__).parent / "demo.jpg").read_bytes()).rgb
    network = Recolorizer().network
    height = round(rgb.shape[0] * _WIDTH / rgb.shape[1])
    size = (5 * (_WIDTH + _GAP) - _GAP, len(_ROWS) * (height + _TEXT + _GAP) - _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, (option, field, values) in enumerate(_ROWS):
        top = row * (height + _TEXT + _GAP)
        for column, value in enumerate(values):
            new = Recolorizer(network, RecolorOptions(**{field: value})).recolor(rgb)
            small = cv2.resize(new, (_WIDTH, height), interpolation=cv2.INTER_AREA)
            left = column * (_WIDTH + _GAP)
            usual = " (default)" if column == 2 else ""
            draw.text((left + 2, top + 2), f"{option} {value:g}{usual}", "black", font)
            sheet.paste(Image.fromarray(np.asarray(small)), (left, top + _TEXT))
    sheet.save(target, "JPEG", quality=80, optimize=True)


if __name__ == "__main__":
    main()
