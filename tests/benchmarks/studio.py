"""Measure how long each change of the studio takes: CPU seconds of one thread.

OPENBLAS_NUM_THREADS=1 python tests/benchmarks/studio.py PICTURE
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2

from recolor_cli.serve.settings import ServeSettings
from recolor_cli.serve.studio.studio import Studio
from recolor_cli.serve.studio.wishes import Wishes

PALETTES = ["1930s", "1950s", "noir", "pastel", "modern"]


def named(name, **more):
    return {"palette": {"kind": "name", "text": name}, **more}


def main(picture):
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(picture, folder)
        studio = Studio(ServeSettings(inputs=(folder,), device="cpu"))
        key = studio.listing()[0]["key"]
        _ = studio.network

        def measure(name, action, times=15):
            taken = []
            for number in range(times):
                started = time.process_time()
                action(number % len(PALETTES))
                taken.append(1000 * (time.process_time() - started))
            print(f"{name:36s}{min(taken):6.0f}{statistics.median(taken):6.0f} ms")

        def preview(values):
            studio.preview(key, Wishes.parse(values), draft=True)

        measure("the picture is opened", lambda _: studio.describe(key), 1)
        described = studio.describe(key)
        width, height = described["width"], described["height"]
        rest = [
            {"x": 0.16 * width, "y": 0.12 * height, "color": "#ffcc66"},
            {"x": 0.75 * width, "y": 0.83 * height, "color": "#336699"},
        ]

        def hints(number):
            x = (0.37 + 0.025 * number) * width
            return [{"x": x, "y": 0.5 * height, "color": "#aa3322", "radius": 0.01 * width}, *rest]

        measure("strength", lambda n: preview({"strength": 1 + n / 10}))
        measure("temperature", lambda n: preview({"temperature": 0.2 + n / 10}))
        preview(named("1940s"))
        measure("another palette", lambda n: preview(named(PALETTES[n])))
        measure("another variant", lambda n: preview({"pick": 2 + n % 3}))
        measure("gray parts only", lambda n: preview({"only_gray": n % 2 == 0}))
        measure("a hint of three is moved", lambda n: preview({"hints": hints(n)}))
        measure(
            "with a palette and gray parts only",
            lambda n: preview(named("1950s", only_gray=True, hints=hints(n))),
        )
        measure(
            "another palette with three hints",
            lambda n: preview(named(PALETTES[n], hints=hints(0))),
        )
        studio.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
