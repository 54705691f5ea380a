"""Compare two checkouts: the same commands must give the same files, exit codes and JSON.

    python tests/compare_checkouts.py OLD NEW [--pictures val.tar] [--count 10] [--keep FOLDER]

The inputs are drawn here: a file of every format and kind, larger pictures, and three clips. With
``--pictures`` some of a tar file's are added. Each command runs in both checkouts, each time on a
fresh copy of the inputs. Every difference is printed; the exit code is 1 if there is one. Three
things may differ: stages' seconds, the date in a color profile that is made during the run, and the
random identifier of a Matroska file. Messages on standard error are not compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from fuzz import corpus
from PIL import Image

from conftest import draw
from recolor_cli.video.containers import CONTAINERS
from video_clips import make as make_clip

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("in", "-o", "out", "-r", "--json"),
    ("in", "-o", "out", "-r", "--json", "-j", "1", "--format", "png"),
    ("in/drawn.jpg",),
    ("in/drawn.jpg", "-o", "new.webp", "--quality", "80", "--json"),
    ("in/drawn.jpg", "in/deep.png", "--variants", "3", "--confidence", "--json"),
    ("in/drawn.jpg", "--palette", "#c8102e,#f2c14e,#123", "--palette-strength", "0.6"),
    ("in/drawn.jpg", "--palette", "in/deep.png", "--hint", "20,20,#ff0000"),
    ("in/drawn.jpg", "--keep-original", "0.4", "--strength", "1.5", "-T", "0.5"),
    ("in/drawn.jpg", "in/deep.tif", "--only-gray", "--compare", "--json"),
    ("in/deep.tif", "--mask", "in/mask.png", "--icc", "source", "--preserve-times"),
    ("in", "-r", "--if-gray", "-o", "out", "--json"),
    ("in/drawn.jpg", "--in-place", ".old", "--json"),
    ("in", "-r", "-n"),
    ("--files-from", "list.txt", "-o", "out", "--json"),
    ("in/drawn.jpg", "-m", "regression", "--json"),
    ("in/missing.jpg", "in/drawn.jpg", "--json"),
    ("in/drawn.jpg", "--quality", "0"),
    ("empty",),
    ("in/drawn.jpg", "-m", "missing"),
    ("in/drawn.jpg", "--device", "cuda"),
    ("in/drawn.jpg", "in/deep.png", "-o", "-"),
    ("film", "clips", "-o", "films", "--json"),
    ("film", "clips/plain.mp4", "--lossless", "--smoothing", "off"),
    ("film", "clips/deep.mkv", "--start", "0.2", "--duration", "0.3", "-o", "part.mkv"),
    ("clips/plain.mp4", "-n", "--json"),
    ("models", "--json"),
)
AGAIN = ("in", "-o", "out", "-r", "--json")  # everything exists the second time
PIPED = ("-", "-o", "-")


@dataclass(frozen=True)
class Result:
    """What one command left behind."""

    folder: Path
    exit_code: int
    stdout: object
    files: dict[str, str]  # path to SHA-256

    def differences(self, other: Result) -> list[str]:
        """Return a line for each thing in which another result differs."""
        found = []
        if self.exit_code != other.exit_code:
            found.append(f"exit code {self.exit_code}, then {other.exit_code}")
        if self.stdout != other.stdout:
            found.append(f"standard output\n    {self.stdout}\n    {other.stdout}")
        for path in sorted(self.files.keys() | other.files.keys()):
            one, two = self.files.get(path), other.files.get(path)
            if one != two and not (
                one and two and same_content(self.folder / path, other.folder / path)
            ):
                kind = "is missing in the old one" if one is None else "differs"
                found.append(f"{path} {'is missing in the new one' if two is None else kind}")
        return found


def same_content(one: Path, other: Path) -> bool:
    """Tell whether two results hold the same, but for what a clock or a die put in."""
    return content(one) == content(other)


def content(path: Path) -> str:
    """Return a digest of a film's packets or bytes, or of a picture's pixels and metadata."""
    digest = hashlib.sha256()
    if path.suffix in (".mkv", ".webm"):
        with av.open(str(path)) as film:
            for packet in film.demux():
                digest.update(repr((packet.stream.index, packet.pts, packet.dts)).encode())
                digest.update(bytes(packet))
    elif path.suffix in CONTAINERS:
        digest.update(path.read_bytes())
    else:
        with Image.open(path) as image:
            profile = bytearray(image.info.pop("icc_profile", b""))
            profile[24:36] = b""  # the date
            image.load()
            image.info.pop("icc_profile", None)
            digest.update(
                repr(
                    (image.mode, image.size, profile, sorted(map(repr, image.info.items())))
                ).encode()
            )
            digest.update(image.tobytes())
    return digest.hexdigest()


def make_inputs(folder: Path, pictures: Path | None, count: int) -> None:
    """Draw the pictures and clips that all commands work on."""
    for name in ("in/sub", "clips", "empty"):
        (folder / name).mkdir(parents=True)
    endings = {"jpeg": ".jpg", "jp2": ".jp2", "tiff": ".tif", "bigtiff": ".tif"}
    for name, data in corpus():
        kind = name.split()[0]
        path = folder / "in/sub" / (name.replace(" ", "-") + endings.get(kind, f".{kind}"))
        path.write_bytes(data)
    rgb = draw(300, 420)
    Image.fromarray(rgb).save(folder / "in/drawn.jpg", quality=92, dpi=(300, 300))
    Image.fromarray(rgb[..., 1]).save(folder / "in/mask.png")
    import imagecodecs
    import tifffile

    deep = rgb.astype(np.uint16) * 257
    (folder / "in/deep.png").write_bytes(imagecodecs.png_encode(deep))
    tifffile.imwrite(folder / "in/deep.tif", deep, photometric="rgb", compression="zlib")
    (folder / "list.txt").write_text("in/deep.png\nin/missing.png\nin/drawn.jpg\n")
    make_clip(folder / "clips/plain.mp4", sound=True, scenes=2)
    make_clip(folder / "clips/deep.mkv", codec="ffv1", pixel_format="yuv420p10le")
    make_clip(folder / "clips/prores.mov", codec="prores_ks", pixel_format="yuv422p10le", count=6)
    if pictures:
        with tarfile.open(pictures) as tar:
            members = [member for member in tar if member.isfile()]
            for member in members[:: max(1, len(members) // count)][:count]:
                target = folder / "in" / Path(member.name).name
                target.write_bytes(tar.extractfile(member).read())


def run(checkout: Path, arguments: tuple[str, ...], folder: Path) -> Result:
    """Run one command of a checkout in a folder and gather what it left."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "RECOLOR_DEVICE": "cpu"}
    if "--device" in arguments:
        del environment["RECOLOR_DEVICE"]
    stdin = (folder / "in/drawn.jpg").read_bytes() if arguments == PIPED else None
    done = subprocess.run(
        [sys.executable, "-m", "recolor_cli", *arguments],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
    )
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    output = done.stdout
    for place in (folder, checkout):  # paths that are printed whole
        output = output.replace(os.fsencode(place), b"PLACE")
    return Result(folder, done.returncode, comparable(output), files)


def comparable(output: bytes) -> object:
    """Return standard output without times; JSON parsed, one object a line."""
    try:
        lines = output.decode().splitlines()
    except UnicodeDecodeError:
        return hashlib.sha256(output).hexdigest()
    return [_without_times(line) for line in lines]


def _without_times(line: str) -> object:
    try:
        value = json.loads(line)
    except ValueError:
        return line
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != "seconds"}
    return value


def main() -> int:
    """Compare, print every difference, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pictures", type=Path, help="a tar file to take some pictures from")
    parser.add_argument("--count", type=int, default=10, help="how many pictures of it")
    parser.add_argument("--keep", type=Path, help="keep the results in this folder")
    arguments = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        make_inputs(root / "inputs", arguments.pictures, arguments.count)
        for number, command in enumerate((*COMMANDS, AGAIN, PIPED)):
            results = []
            for name, checkout in (("old", arguments.old), ("new", arguments.new)):
                folder = root / f"{number:02d}-{name}"
                shutil.copytree(root / "inputs", folder)
                if command is AGAIN:
                    run(checkout.resolve(), command, folder)
                results.append(run(checkout.resolve(), command, folder))
            found = results[0].differences(results[1])
            if not arguments.keep:
                for result in results:
                    shutil.rmtree(result.folder)
            bad += bool(found)
            print("differs" if found else "same   ", "recolor", *command, flush=True)
            for line in found:
                print(f"  {line}")
    print(f"{bad} of {len(COMMANDS) + 2} commands differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
