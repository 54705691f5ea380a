"""Measure how fast `recolor` is on this machine, as ratios that a busy machine changes little.

    python tests/benchmarks/speed.py
    python tests/benchmarks/speed.py --model poster --model theirs.toml --megapixels 1.5

Prints two Markdown tables. All times of a table are taken in turns on the same files.

Throughput: the program takes a list of JPEGs through a pipe and reports each one as JSON. A pool of
as many processes reads, decodes, encodes and writes the same files. The median over the rounds of
the time of the pool over the time of the program is the fraction of codec-only throughput.

One picture: the fastest of several processes from start to end, over that of a bare script that
has the model and no program; and the peak memory of the program's process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import recolor_cli
from recolor_cli.image.decode import decode
from recolor_cli.image.encode import ImageEncoding, encode
from recolor_cli.image.probe import probe
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import find_model
from recolor_cli.system.device import cpu_count
from recolor_cli.system.files import read, write_atomic

PROGRAM = [sys.executable, "-P", "-m", "recolor_cli"]  # -P: the current folder has no modules
DEMO = Path(recolor_cli.__file__).parent / "demo.jpg"
SIZES = (0.5, 1.5, 6.0, 24.0)  # megapixels
ROUNDS = 5  # and one before them, which warms the caches and does not count
LIMIT = 60  # s, for the rounds of one row; the round that is begun is finished
STARTS = 7  # processes of each kind
STAGES = ("read", "decode", "lightness", "network", "color", "encode", "write")

# The shortest script that recolors one picture with the model: the least time of a start.
BARE_SCRIPT = """
import sys
import cv2, numpy, onnxruntime
model, source, target, size, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
picture = cv2.imread(source)
small = cv2.resize(picture, (int(size), int(size)), interpolation=cv2.INTER_AREA)
lab = cv2.cvtColor(numpy.float32(small) / 255, cv2.COLOR_BGR2Lab)
feeds = {"lightness": lab[None, None, ..., 0]}
if len(session.get_inputs()) > 1:
    feeds["temperature"] = numpy.array(0.38, numpy.float32)
ab = session.run(["ab"], feeds)[0][0].transpose(1, 2, 0)
lab = cv2.cvtColor(numpy.float32(picture) / 255, cv2.COLOR_BGR2Lab)
lab[..., 1:] = cv2.resize(ab, picture.shape[1::-1])
cv2.imwrite(target, numpy.uint8(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255))
"""

# A process begins with the peak of its parent. This parent is a small one.
PEAK_SCRIPT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
unit = 1e6 if sys.platform == "darwin" else 1e3
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit)
"""


def make_pictures(megapixels: float, count: int, folder: Path) -> list[Path]:
    """Write JPEGs of a size, each another part of the demo picture, enlarged and with grain."""
    rgb = decode(DEMO.read_bytes()).rgb
    height, width = rgb.shape[:2]
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        top, left = random.integers(0, height // 8), random.integers(0, width // 8)
        part = rgb[top : top + height * 7 // 8, left : left + width * 7 // 8]
        scale = (megapixels * 1e6 / (part.shape[0] * part.shape[1])) ** 0.5
        size = round(part.shape[1] * scale), round(part.shape[0] * scale)
        large = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
        grain = random.normal(0, 6, large.shape[:2]).astype(np.float32)
        grainy = cv2.add(large, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
        paths.append(folder / f"{megapixels:g}-{number}.jpg")
        cv2.imwrite(str(paths[-1]), grainy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return paths


def run_codecs(source: Path, target: Path) -> None:
    """Read, decode, encode and write one picture as the program does, without recoloring it."""
    file = read(source)
    probe(file.data)
    picture = decode(file.data)
    write_atomic(target, encode(picture, picture.rgb, ImageEncoding()), file.status)


class Program:
    """A process of `recolor` that stays: names in through a pipe, outcomes out as JSON."""

    def __init__(self, model: str, device: str, out: Path) -> None:
        options = ["--files-from", "-", "--json", "-q", "-o", out, "-m", model, "--device", device]
        command = [*PROGRAM, "run", *map(str, options)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def recolor(self, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """Recolor pictures and return their outcomes."""
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe
        assert answers
        pipe.write("".join(f"{path}\n" for path in paths))
        pipe.flush()
        outcomes = [json.loads(answers.readline() or "{}") for _ in paths]
        for outcome in outcomes:
            if outcome.get("status") != "written":
                raise SystemExit(f"{outcome.get('source')}: {outcome.get('error')}")
        return outcomes

    def close(self) -> None:
        """End the list and wait for the process."""
        self._process.communicate()


@contextmanager
def started(model: str, device: str, out: Path) -> Iterator[tuple[Program, ProcessPoolExecutor]]:
    """Start the program, and the pool of processes that run the codecs alone."""
    program = Program(model, device, out)
    context = get_context("spawn")
    with ProcessPoolExecutor(cpu_count(), context, cv2.setNumThreads, (1,)) as pool:
        try:
            yield program, pool
        finally:
            program.close()


def measure_throughput(paths: Sequence[Path], label: str, model: str, device: str) -> list[str]:
    """Return a row of the first table: pictures of one size, recolored with one model."""
    codec_times, full_times, outcomes = [], [], []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "out"
        out.mkdir()
        with started(model, device, out) as (program, pool):
            for number in range(1 + ROUNDS):
                if number > 1 and time.monotonic() - begun > LIMIT:
                    break
                # A list names no result twice, so that each round has copies of its own. Three
                # of each: CPUs idle at the end of a round, and the round must outlast that.
                copies = [
                    Path(shutil.copy(path, folder / f"{number}-{turn}-{path.name}"))
                    for turn in range(3)
                    for path in paths
                ]
                targets = [out / f"codec-{path.name}" for path in copies]
                start = time.perf_counter()
                list(pool.map(run_codecs, copies, targets))
                middle = time.perf_counter()
                found = program.recolor(copies)
                end = time.perf_counter()
                for path in (*copies, *out.iterdir()):
                    path.unlink()
                if number:
                    codec_times.append(middle - start)
                    full_times.append(end - middle)
                    outcomes += found
    pairs = zip(codec_times, full_times, strict=True)
    return [
        label,
        Path(model).stem,
        f"{statistics.median(codec / full for codec, full in pairs):.2f}",
        *(f"{len(copies) / statistics.median(times):.1f}" for times in (full_times, codec_times)),
        *(f"{1000 * statistics.median(o['seconds'][s] for o in outcomes):.1f}" for s in STAGES),
    ]


def measure_start(path: Path, label: str, model: str, device: str) -> list[str]:
    """Return a row of the second table: one picture, from the start of a process to its end."""
    graph = find_model(model, bits=8)
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "result.jpg")
        options = ["-o", out, "--overwrite", "-q", "-m", model, "--device", device]
        commands = {"run": [*PROGRAM, str(path), *options], "version": [*PROGRAM, "--version"]}
        if graph.suffix == ".onnx":  # of a profile the script does not know what to feed
            size = OnnxColorNetwork.load(model, "cpu").manifest.size
            arguments = map(str, (graph, path, out, size, cpu_count()))
            commands["bare"] = [sys.executable, "-c", BARE_SCRIPT, *arguments]
        seconds = dict.fromkeys((*commands, "bare"), math.inf)
        for _ in range(STARTS):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                seconds[name] = min(seconds[name], time.perf_counter() - start)
        peak = peak_memory(commands["run"])
    bare = f"{seconds['bare']:.2f} s" if "bare" in commands else ""
    ratio = f"{seconds['run'] / seconds['bare']:.2f}" if "bare" in commands else ""
    version = f"{seconds['version']:.2f} s"
    return [label, Path(model).stem, ratio, f"{seconds['run']:.2f} s", bare, peak, version]


def peak_memory(command: Sequence[str]) -> str:
    """Return the most memory that a process takes, in MB; empty where the system does not tell."""
    script = [sys.executable, "-c", PEAK_SCRIPT, *command]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    return f"{float(done.stdout):.0f} MB" if done.stdout else ""


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table: two columns of words, the others of numbers."""
    print("\n| " + " | ".join(head) + " |\n|---|---|" + "---:|" * (len(head) - 2))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Measure each size with each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", action="append", metavar="NAME", help="default: poster")
    parser.add_argument("--megapixels", action="append", type=float, metavar="N")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    # As the program sets them for its processes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
    throughput, starts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.megapixels or SIZES:
            paths = make_pictures(size, max(2, min(16, round(24 / size))), Path(folder))
            for model in options.model or ["poster"]:
                case = (f"{size:g} MP", model, options.device)
                throughput.append(measure_throughput(paths, *case))
                starts.append(measure_start(paths[0], *case))
    ratio = "fraction of codec-only throughput"
    stages = [f"{stage}, ms" for stage in STAGES]
    print_table(["pictures", "model", ratio, "pictures/s", "codec only", *stages], throughput)
    ratio = "time over a bare script's"
    rest = ["start to end", "bare script", "peak", "`--version`"]
    print_table(["picture", "model", ratio, *rest], starts)


if __name__ == "__main__":
    main()
