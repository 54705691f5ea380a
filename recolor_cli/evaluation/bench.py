"""How fast the program is, as ratios: beside decoding and encoding alone, and beside a bare script.

Everything is timed in one run, on the same files, in turns, so that a busy machine slows all of it
alike. Of several rounds the median ratio counts; of starts the fastest of each.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from recolor_cli.batch.outcome import Outcome
from recolor_cli.batch.plan import Job
from recolor_cli.batch.processes import ProcessWorkers, WorkerConfig
from recolor_cli.batch.run import Workers
from recolor_cli.errors import InputError, RecolorError
from recolor_cli.image.decode import decode
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode
from recolor_cli.image.formats import ImageFormat
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.model.manifest import find_model
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.device import Device, cpu_count
from recolor_cli.system.files import write_atomic
from recolor_cli.types import RgbImage

_ROUNDS = 5
_TURNS = 3  # of the pictures in a round: the last ones leave CPUs idle
_STARTS = 7  # of processes
_PATIENCE = 60  # s; then no further round is begun
_RUN_SECONDS = 0.7  # of a network alone, each round
_QUALITY = 92  # of the pictures that are made
_STAGES = ("read", "decode", "lightness", "network", "color", "encode", "write")

# What anyone would write who has the model and no program: the least that a start can take.
_BARE = """
import sys
import cv2, numpy, onnxruntime
model, source, target, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
picture = cv2.imread(source)
small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
lab = cv2.cvtColor(numpy.float32(small) / 255, cv2.COLOR_BGR2Lab)
feeds = {"lightness": lab[None, None, ..., 0]}
if len(session.get_inputs()) > 1:
    feeds["temperature"] = numpy.array(0.38, numpy.float32)
ab = session.run(["ab"], feeds)[0][0].transpose(1, 2, 0)
lab = cv2.cvtColor(numpy.float32(picture) / 255, cv2.COLOR_BGR2Lab)
lab[..., 1:] = cv2.resize(ab, picture.shape[1::-1])
cv2.imwrite(target, numpy.uint8(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255))
"""

_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
unit = 1e6 if sys.platform == "darwin" else 1e3
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit)
"""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Many pictures of one size.

    Parameters
    ----------
    pictures : str
        What they are: ``1.5 MP``, or ``as they are``.
    model : str
    ratio : float
        Pictures a second of the program by those of itself without the recoloring.
    codec, full : float
        Pictures a second: without the recoloring (read, decode, encode and write), and all of it.
    share : float
        Of decoding and encoding in the time of all stages: `ratio`, if files cost nothing.
    stages : dict of str to float
        Milliseconds that each stage of a picture takes, with all CPUs at work.
    """

    pictures: str
    model: str
    ratio: float
    codec: float
    full: float
    share: float
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class NetworkSpeed:
    """A network alone.

    Parameters
    ----------
    model : str
    batch : int
        Pictures in a run.
    rate : float
        Pictures a second, with all threads at work.
    ratio : float
        That by the first model's, at one picture in a run.
    """

    model: str
    batch: int
    rate: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Start:
    """One picture, from the start of a process to its end.

    Parameters
    ----------
    pictures : str
    model : str
    ratio : float
        Seconds of the program by those of the bare script; NaN where that cannot run the model.
    seconds, bare : float
    peak : float
        MB of memory at most.
    version : float
        Seconds that ``recolor --version`` takes.
    """

    pictures: str
    model: str
    ratio: float
    seconds: float
    bare: float
    peak: float
    version: float


@dataclass
class Benchmark:
    """All that was measured, and where."""

    device: str
    workers: int
    throughput: list[Throughput] = field(default_factory=list)
    networks: list[NetworkSpeed] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Return all figures, to be written as JSON."""
        return asdict(self)


def make_pictures(source: bytes, megapixels: float, count: int, folder: Path) -> list[Path]:
    """Write JPEGs of a size, each another part of a picture, enlarged and with grain.

    Parameters
    ----------
    source : bytes
        An encoded picture.
    megapixels : float
    count : int
    folder : Path
    """
    rgb = cast(RgbImage, decode(source).rgb)
    height, width = rgb.shape[:2]
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        top, left = random.integers(0, max(1, height // 8)), random.integers(0, max(1, width // 8))
        part = rgb[top : top + height * 7 // 8, left : left + width * 7 // 8]
        scale = (megapixels * 1e6 / (part.shape[0] * part.shape[1])) ** 0.5
        size = round(part.shape[1] * scale), round(part.shape[0] * scale)
        large = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
        grain = random.normal(0, 6, large.shape[:2]).astype(np.float32)
        grainy = cast(RgbImage, cv2.add(large, cv2.merge([grain] * 3), dtype=cv2.CV_8U))
        image = DecodedImage(grainy, None, ImageFormat.JPEG)
        data = encode(image, grainy, ImageEncoding(quality=_QUALITY))
        path = folder / f"{megapixels:g}-{number}.jpg"
        write_atomic(path, data)
        paths.append(path)
    return paths


def measure_throughput(
    paths: Sequence[Path], label: str, setups: Mapping[str, WorkerConfig]
) -> list[Throughput]:
    """Time the program and its codecs alone, in turns, on the same files.

    Parameters
    ----------
    paths : sequence of Path
        Pictures; their results go to a temporary folder.
    label : str
        What they are.
    setups : mapping of str to Setup
        By the model's name.

    Raises
    ------
    InputError
        If one of them cannot be recolored.
    ModelError, DeviceError
        As `ProcessWorkers`.
    """
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(str(path), str(Path(folder) / f"{turn}-{path.name}"))
            for turn in range(_TURNS)
            for path in paths
        ]
        return [_throughput(jobs, label, name, setup) for name, setup in setups.items()]


def _throughput(jobs: Sequence[Job], label: str, name: str, setup: WorkerConfig) -> Throughput:
    times: list[tuple[float, float]] = []
    with (
        closing(ProcessWorkers(replace(setup, model=None))) as without,
        closing(ProcessWorkers(setup)) as workers,
    ):
        for _ in _rounds():
            codec, _ = _once(jobs, without)
            full, outcomes = _once(jobs, workers)
            times.append((codec, full))
    times = times[1:] or times
    stages = {
        stage: 1000 * statistics.median(o.seconds[stage] for o in outcomes) for stage in _STAGES
    }
    return Throughput(
        label,
        name,
        statistics.median(codec / full for codec, full in times),
        len(jobs) / statistics.median(codec for codec, _ in times),
        len(jobs) / statistics.median(full for _, full in times),
        (stages["decode"] + stages["encode"]) / sum(stages.values()),
        stages,
    )


def _rounds() -> Iterator[int]:
    """Count the rounds: one that warms the caches, and some more while they are not too slow."""
    started = time.perf_counter()
    for number in range(1 + _ROUNDS):
        if number > 1 and time.perf_counter() - started > _PATIENCE:
            return
        yield number


def _once(jobs: Sequence[Job], workers: Workers) -> tuple[float, list[Outcome]]:
    """Return the seconds that the jobs take, and what became of them."""
    started = time.perf_counter()
    outcomes = [future.result() for future in [workers.submit(job) for job in jobs]]
    seconds = time.perf_counter() - started
    for outcome in outcomes:
        if outcome.error:
            raise InputError(f"{outcome.job.source}: {outcome.error.message}", outcome.error.hint)
    return seconds, outcomes


def measure_networks(
    networks: Mapping[str, ColorNetwork], batches: Sequence[int], workers: int
) -> list[NetworkSpeed]:
    """Time networks alone, in turns, several threads asking at a time.

    Parameters
    ----------
    networks : mapping of str to ColorNetwork
    batches : sequence of int
        Pictures in a run, each of these.
    workers : int
        Threads.
    """
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in _rounds():
        for name, network in networks.items():
            for count in batches:
                rates.setdefault((name, count), []).append(_rate(network, count, workers))
    # The first round only warms up.
    known = {key: statistics.median(found[1:] or found) for key, found in rates.items()}
    first = known[next(iter(networks)), batches[0]]
    return [NetworkSpeed(name, count, rate, rate / first) for (name, count), rate in known.items()]


def _rate(network: ColorNetwork, count: int, workers: int) -> float:
    """Return the pictures a second of some runs on each thread."""
    size = network.manifest.size
    random = np.random.default_rng(0)
    lightness = random.uniform(0, 100, (count, 1, size, size)).astype(np.float32)

    def runs(_: int) -> int:
        done = 0
        while time.perf_counter() < end or not done:
            network.predict(lightness, network.manifest.temperature)
            done += count
        return done

    started = time.perf_counter()
    end = started + _RUN_SECONDS
    with ThreadPoolExecutor(workers) as pool:
        done = sum(pool.map(runs, range(workers)))
    return done / (time.perf_counter() - started)


def measure_start(path: Path, label: str, name: str, model: str, device: str) -> Start:
    """Time processes that recolor one picture, beside a bare script, and take their peak memory.

    Parameters
    ----------
    path : Path
        The picture.
    label : str
        What it is.
    name : str
        Of the model, for the table.
    model : str
        As for ``-m``.
    device : str

    Raises
    ------
    RecolorError
        If the program fails.
    """
    graph = find_model(model, bits=8)
    size = OnnxColorNetwork.load(model, Device.CPU).manifest.size
    program = [sys.executable, "-P", "-m", "recolor_cli"]  # -P: not from where it runs
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / f"result{path.suffix}")
        run = [*program, str(path), "-o", out, "--overwrite", "-q", "-m", model, "--device", device]
        bare = [sys.executable, "-c", _BARE.replace("SIZE", str(size)), str(graph), str(path), out]
        commands = {"run": run, "version": [*program, "--version"]}
        if graph.suffix == ".onnx":
            commands["bare"] = [*bare, str(cpu_count())]
        seconds: dict[str, float] = {}
        for _ in range(_STARTS):
            for key, command in commands.items():
                seconds[key] = min(_process(command), seconds.get(key, math.inf))
        peak = _peak_of(run)
    bare_seconds = seconds.get("bare", math.nan)
    ratio = seconds["run"] / bare_seconds
    return Start(label, name, ratio, seconds["run"], bare_seconds, peak, seconds["version"])


def _process(command: Sequence[str]) -> float:
    """Run a process and return its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        error = done.stderr.decode(errors="replace").strip()
        raise RecolorError(f"a process failed: {error[-500:]}", "try it alone")
    return seconds


def _peak_of(command: Sequence[str]) -> float:
    """Return the most memory that a process takes, in MB; NaN where the system does not tell."""
    # A process begins with its parent's peak: so its parent is to be a small one.
    done = subprocess.run([sys.executable, "-c", _PEAK, *command], capture_output=True, check=False)
    return float(done.stdout or "nan")
