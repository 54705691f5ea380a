"""Draw docs/flat-areas.jpg: two drawn posters without and with one color for each flat area.

python tests/benchmarks/flat_areas_strip.py docs/flat-areas.jpg
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from drawn_posters import as_array, night, window
from PIL import Image

from recolor_cli import Recolorizer

_GAP = 6  # px


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    target = parser.parse_args().picture
    recolorizer = Recolorizer()
    network = recolorizer.network
    pictures = []
    for poster in (night(), window()):
        rgb = as_array(poster)
        for refined in (False, True):
            network.manifest = replace(network.manifest, refined=refined)
            pictures += [recolorizer.recolor(rgb), np.full((len(rgb), _GAP, 3), 255, np.uint8)]
    sheet = np.concatenate(pictures[:-1], axis=1)
    Image.fromarray(sheet).save(target, "JPEG", quality=82, optimize=True)


if __name__ == "__main__":
    main()
