"""Draw docs/steering.jpg: variants, palettes, a hint and confidence for the demo's picture.

python tests/benchmarks/steering_strip.py docs/steering.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import recolor_cli
from recolor_cli import Recolorizer, RecolorOptions
from recolor_cli.guidance.hint_files import load_hints
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.recolor_options import Steering
from recolor_cli.image.decode import decode

_PALETTES = ("#c8102e,#f2c14e,#123", "#264653,#2a9d8f,#e9c46a")
_HINT = "150,620,#205a3c"
_WIDTH, _TEXT, _GAP, _COLUMNS = 210, 22, 6, 4  # px


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    rgb = decode((Path(recolor_cli.__file__).parent / "demo.jpg").read_bytes()).rgb
    plain = Recolorizer()
    answer = plain.predict_distribution(rgb)
    cells = [
        (f"--variants 4: {number}", plain.paint(rgb, ab))
        for number, ab in enumerate(answer.variants(4), 1)
    ]
    steerings = {f"--palette {colors}": Steering(load_palette(colors)) for colors in _PALETTES}
    steerings[f"--hint {_HINT}"] = Steering(hints=load_hints([_HINT]))
    for caption, steering in steerings.items():
        options = RecolorOptions(steering=steering)
        cells.append((caption, Recolorizer(plain.network, options).recolor(rgb)))
    cells.append(("--confidence", answer.confidence_map()))
    height = round(rgb.shape[0] * _WIDTH / rgb.shape[1])
    rows = len(cells) // _COLUMNS
    size = (_COLUMNS * (_WIDTH + _GAP) - _GAP, rows * (height + _TEXT + _GAP) - _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (caption, picture) in enumerate(cells):
        row, column = divmod(number, _COLUMNS)
        left, top = column * (_WIDTH + _GAP), row * (height + _TEXT + _GAP)
        draw.text((left + 2, top + 4), caption, "black", font)
        small = cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)
        sheet.paste(Image.fromarray(np.asarray(small)), (left, top + _TEXT))
    sheet.save(target, "JPEG", quality=82, optimize=True)


if __name__ == "__main__":
    main()
