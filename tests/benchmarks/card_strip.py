"""Draw models/poster.jpg: a poster and a photograph, gray and recolored.

python tests/benchmarks/card_strip.py models/poster.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

import recolor_cli
from recolor_cli import Recolorizer
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.image.decode import decode

_HEIGHT, _GAP = 380, 4  # px


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    demo = decode((Path(recolor_cli.__file__).parent / "demo.jpg").read_bytes()).rgb
    camera = np.repeat(skimage.data.camera()[..., None], 3, axis=2)
    recolorizer = Recolorizer()
    cells = []
    for rgb in (demo, camera):
        size = round(rgb.shape[1] * _HEIGHT / rgb.shape[0]), _HEIGHT
        for shown in (rgb_to_gray(rgb), recolorizer.recolor(rgb)):
            small = cv2.resize(np.asarray(shown), size, interpolation=cv2.INTER_AREA)
            cells.append(
                cv2.copyMakeBorder(small, *[_GAP] * 4, cv2.BORDER_CONSTANT, value=[224] * 3)
            )
    Image.fromarray(np.concatenate(cells, axis=1)).save(target, "JPEG", quality=88, optimize=True)


if __name__ == "__main__":
    main()
