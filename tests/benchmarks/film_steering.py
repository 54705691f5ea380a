"""Measure how films follow a palette and a colored still, and whether their color stays steady.

    python tests/benchmarks/film_steering.py [--save FOLDER]

The three clips are drawn here: a camera pans over pictures that come with scikit-image, which are
in the public domain or CC0. Each is a color film that is turned gray, in which a scene returns
after another one. The tables have, for each method, the warp error of ab along the motion (as in
film.py), and

- for palettes: the earth mover's distance of all colors of the clip from the palette, in ab units,
  and the distance of the colors of the same places in the first and the last frame of a shot;
- for a still, the true colors of the middle of the first shot: CIEDE2000 to the true colors in its
  own shot, in the other one, and in the last one, which shows the scene of the first again.

--save  Write a sheet of some frames of each method as NAME-METHOD.png.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data
from skimage.color import deltaE_ciede2000
from steering import _histogram_distances as histogram_distances
from temporal import Motion

from recolor_cli.color.lab import rgb_to_lab_cv2
from recolor_cli.guidance.palette_files import load_palette
from recolor_cli.guidance.palette_matching import Palette
from recolor_cli.guidance.recolor_options import RecolorOptions, Steering
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.types import FloatArray, RgbImage
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.frame_predictor import FramePredictor
from recolor_cli.video.pipeline import FramePipeline
from recolor_cli.video.references import Reference

WIDTH, HEIGHT, RATE = 320, 240, 25
View = tuple[float, float, float]  # centre, px of the picture, and pixels of it per pixel
PALETTE = "#1d3557,#e63946,#f1c27d"


@dataclass(frozen=True)
class Clip:
    """Shots, each of a picture with the first and the last view, and the number of frames."""

    name: str
    shots: tuple[tuple[str, View, View, int], ...]

    def frames(self) -> Iterator[RgbImage]:
        for picture, first, last, count in self.shots:
            rgb = getattr(data, picture)()
            for index in range(count):
                way = index / (count - 1)
                way = way * way * (3 - 2 * way)
                yield draw(rgb, [a + (b - a) * way for a, b in zip(first, last, strict=True)])


CLIPS = (
    Clip("astronaut", (
        ("astronaut", (200, 150, 1.0), (260, 220, 1.4), 30),
        ("coffee", (250, 200, 1.0), (330, 230, 1.3), 20),
        ("astronaut", (260, 220, 1.4), (200, 150, 1.0), 30),
    )),
    Clip("cat", (
        ("chelsea", (180, 120, 0.9), (260, 150, 1.1), 30),
        ("rocket", (200, 200, 1.2), (420, 220, 1.5), 20),
        ("chelsea", (260, 150, 1.1), (180, 120, 0.9), 30),
    )),
    Clip("rocket", (
        ("rocket", (260, 200, 1.2), (420, 220, 1.5), 30),
        ("astronaut", (230, 380, 1.0), (260, 300, 1.3), 20),
        ("rocket", (420, 220, 1.5), (260, 200, 1.2), 30),
    )),
)  # fmt: skip


def draw(rgb: RgbImage, view: Sequence[float]) -> RgbImage:
    x, y, scale = view
    matrix = np.array([[1 / scale, 0, WIDTH / 2 - x / scale],
                       [0, 1 / scale, HEIGHT / 2 - y / scale]], np.float32)  # fmt: skip
    return cv2.warpAffine(rgb, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def write_gray(frames: Sequence[RgbImage], path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        for rgb in frames:
            gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, "gray")))
        container.mux(stream.encode(None))


class EachFrameAlone(FramePredictor):
    """Fits the palette to each frame, as if it were a picture."""

    needs_fit = False


def recolor(
    path: Path, network: OnnxColorNetwork, options: FilmOptions, alone: bool = False
) -> list[RgbImage]:
    film = FilmReader(str(path))
    pipeline = FramePipeline(film, network, options)
    if alone:
        pipeline._predictor = EachFrameAlone(network, pipeline.geometry, options.recolor)
    items = pipeline.frames(None, "yuv444p")
    frames = [item.frame.to_ndarray(format="rgb24") for item in items]
    film.close()
    return frames


def warp_error(labs: Sequence[FloatArray], cuts: Sequence[int]) -> float:
    errors = []
    for index in range(1, len(labs)):
        if index in cuts:
            continue
        before, after = labs[index - 1], labs[index]
        motion = Motion(before[..., 0].copy(), after[..., 0].copy())
        errors.append(motion.warp_error(before[..., 1:].copy(), after[..., 1:].copy()))
    return float(np.nanmean(errors))


def measure(clip: Clip, network: OnnxColorNetwork, folder: Path, save: Path | None) -> None:
    truth = list(clip.frames())
    lengths = [shot[3] for shot in clip.shots]
    cuts = [int(n) for n in np.cumsum(lengths)[:-1]]
    path = folder / f"{clip.name}.mkv"
    write_gray(truth, path)
    palette = load_palette(PALETTE)
    steered = FilmOptions(RecolorOptions(steering=Steering(palette)))
    middle = lengths[0] // 2
    still = Reference(middle / RATE, "still", truth[middle])
    results = {
        "none": recolor(path, network, FilmOptions()),
        "palette, each frame alone": recolor(path, network, steered, alone=True),
        "palette, whole film": recolor(path, network, steered),
        "still": recolor(path, network, FilmOptions(references=(still,))),
    }
    labs = {name: [rgb_to_lab_cv2(rgb) for rgb in frames] for name, frames in results.items()}
    for name, frames in labs.items():
        error = warp_error(frames, cuts)
        colors = palette_columns(results[name], palette, clip)
        print(f"| `{clip.name}` | {name} | {error:.3f} | {colors} | "
              f"{still_columns(frames, truth, [0, *cuts, len(truth)])} |")  # fmt: skip
        if save:
            rows = [results[name][index] for index in (0, middle, cuts[0] + 10, cuts[1] + 10)]
            sheet = cv2.cvtColor(np.hstack(rows), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(save / f"{clip.name}-{name.replace(', ', '-')}.png"), sheet)


def palette_columns(frames: Sequence[RgbImage], palette: Palette, clip: Clip) -> str:
    distance = histogram_distances(np.vstack(frames[::10]), palette)[0]
    first = 0
    changes = []
    for _, before, after, count in clip.shots:
        changes.append(change_of_places(frames[first], frames[first + count - 1], before, after))
        first += count
    return f"{distance:.1f} | {np.mean(changes):.1f}"


def change_of_places(one: RgbImage, other: RgbImage, before: View, after: View) -> float:
    """Return the mean distance of ab of the places that two frames with these views show."""
    scale = after[2] / before[2]
    shift = [(b - a) / before[2] for a, b in zip(before[:2], after[:2], strict=True)]
    corner = [WIDTH / 2 * (1 - scale) + shift[0], HEIGHT / 2 * (1 - scale) + shift[1]]
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]], np.float32)
    planes = np.dstack((rgb_to_lab_cv2(other)[..., 1:], np.ones((HEIGHT, WIDTH), np.float32)))
    moved = cv2.warpAffine(planes, matrix, (WIDTH, HEIGHT))
    distance = np.linalg.norm(rgb_to_lab_cv2(one)[..., 1:] - moved[..., :2], axis=-1)
    return float(distance[moved[..., 2] > 0.99].mean())


def still_columns(
    labs: Sequence[FloatArray], truth: Sequence[RgbImage], limits: Sequence[int]
) -> str:
    cells = []
    for first, last in pairwise(limits):
        places = range(first, last, 5)
        cells.append(np.mean([
            deltaE_ciede2000(rgb_to_lab_cv2(truth[i]), labs[i]).mean() for i in places
        ]))  # fmt: skip
    return " | ".join(f"{cell:.1f}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    network = OnnxColorNetwork.load("poster", "cpu")
    print(
        "| clip | steering | warp error, ab | from the palette | change of places "
        "| CIEDE2000, own shot | other | like it |\n|---|---|---:|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for clip in CLIPS:
            measure(clip, network, Path(folder), arguments.save)


if __name__ == "__main__":
    main()
