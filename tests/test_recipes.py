"""Every recipe of docs/recipes.md is run as it stands there."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from conftest import draw, encoded, names

PAGE = Path(__file__).parent.parent / "docs/recipes.md"
RECIPES = re.findall(r"^```(sh|make)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
TOOLS = ("find", "xargs", "make", "convert", "curl")


# The recipes prove nothing of worker processes, each of which takes a second of CPU time to start.
PROGRAM = f"""#!{sys.executable}
import sys
from recolor_cli.__main__ import main
from recolor_cli.commands.workers import WorkerOpener
WorkerOpener._open_processes = WorkerOpener._open_threads
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for index, name in enumerate(("a b.jpg", "c.jpg", "d.jpg")):
        (scans / name).write_bytes(encoded(draw(seed=index)))
    (scans / "door.png").write_bytes(encoded(draw(seed=5), "PNG"))
    deep = draw(seed=6).astype(np.uint16) * 257
    with tifffile.TiffWriter(scans / "plate.tif") as writer:
        for page in (deep, deep[::-1]):
            profile = imagecodecs.cms_profile("adobergb")
            writer.write(page, photometric="rgb", iccprofile=profile, metadata=None)
    program = tmp_path / "bin/recolor"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def run(folder: Path, kind: str, text: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", text]
    if kind == "make":
        (folder / "Makefile").write_text(text)
        command = ["make", "all"]
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PAGE.parent.parent),
        "RECOLOR_DEVICE": "cpu",
        "RECOLOR_MODEL": "fruitnet",
        "RECOLOR_JOBS": "1",
        "URL": (folder / "scans/c.jpg").as_uri(),
    }
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("error") == 0, process.stderr
    return process.stdout


JPEGS = ["a b.jpg", "c.jpg", "d.jpg"]
ALL = [*JPEGS, "door.png", "plate.tif"]
EXPECTED = {  # by a piece of the recipe: where its results are, and which
    "-print0 | recolor": ("new", JPEGS),
    "-mtime": ("new", JPEGS),
    "xargs": ("new", JPEGS),
    "new/%.jpg": ("new", ["c.jpg", "d.jpg"]),  # make knows no blanks in names
    "convert": (".", ["door.png"]),
    "curl": (".", ["poster.jpg"]),
    "--json": ("new", ALL),
    "head": ("new", ALL),
    "-n\n": (".", []),
    "--in-place": ("scans", sorted([*ALL, *(f"{name}.orig" for name in ALL)])),
    "mv": ("scans", ALL),
    "--icc source": ("print", ["plate.tif"]),
    "--format jpg": ("web", ["a b.jpg", "c.jpg", "d.jpg", "door.jpg", "plate.jpg"]),
}


@pytest.mark.parametrize(
    ("kind", "text"), RECIPES, ids=[text.split("\n")[0] for _, text in RECIPES]
)
def test_recipe(folder, kind, text):
    for tool in TOOLS:
        if tool in (*text.split(), kind) and not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    ((place, expected),) = [value for piece, value in EXPECTED.items() if piece in text]
    if kind == "make":
        (folder / "scans/a b.jpg").unlink()
    run(folder, kind, text)
    result = folder / place
    found = [
        name for name in names(result) if name not in ("bin", "scans", "Makefile", "log.jsonl")
    ]
    assert found == expected
    for name in expected:
        if not name.endswith(".orig"):
            with Image.open(result / name) as image:
                image.load()
    if "--icc" in text:
        with tifffile.TiffFile(result / "plate.tif") as file:
            assert [page.dtype for page in file.pages] == [np.uint16, np.uint16]
            assert (
                file.pages[0].tags["InterColorProfile"].value[:4]
                == (imagecodecs.cms_profile("adobergb")[:4])
            )


def test_every_expectation_is_of_a_recipe():
    assert len(RECIPES) == len(EXPECTED)
