"""Pictures that are drawn here, and networks that answer as told."""

import gc
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# Before torch is loaded: its threads would spin against those of the other test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Else each program that a test starts compiles all of its modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Before onnxruntime is loaded, as the program does it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# The models that a developer has added for himself are in no test.
os.environ["RECOLOR_MODELS"] = str(Path(__file__).with_name("no-models"))

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from onnxruntime import InferenceSession
from PIL import Image

from recolor_cli.cli import main
from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.annealed_mean import Distribution
from recolor_cli.commands.workers import WorkerOpener
from recolor_cli.errors import InferenceError
from recolor_cli.model import onnx_network
from recolor_cli.model.manifest import Manifest
from recolor_cli.training.config import TrainConfig
from recolor_cli.types import ModelKind

# A shell's background job ignores Ctrl-C, and so would the programs that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take long on a busy machine.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")

SHIPPED_MODELS = Path(__file__).resolve().parents[1] / "models"

collect_ignore = ["fuzz_parsers.py"]  # needs a package of its own


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage neither while tests are collected nor, afterwards, among what is there.

    All of that stays until the end. One look at it takes 0.4 s once torch and Ray are loaded.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture
def manifest() -> Manifest:
    centers = AbBins.srgb().centers
    return Manifest(
        name="fake",
        kind=ModelKind.CLASSIFICATION,
        size=64,
        stride=32,
        pad_lightness=50.0,
        temperature=0.38,
        centers=tuple((float(a), float(b)) for a, b in centers),
        prior=tuple([1 / len(centers)] * len(centers)),
        license="MIT",
        data="none",
        training={},
    )


class BrokenNetwork:
    """A network that fails: it raises, or answers with what is no number."""

    device = "cpu"

    def __init__(self, manifest: Manifest, answer: float | None = None) -> None:
        self.manifest = manifest
        self._answer = answer

    def predict(self, lightness, temperature):
        if self._answer is None:
            raise InferenceError("out of memory", "use less")
        count, _, height, width = lightness.shape
        return np.full((count, 2, height // 4, width // 4), self._answer, np.float32)


class SpyNetwork:
    """A network that remembers what it was asked, and answers with a constant."""

    device = "cpu"

    def __init__(self, manifest: Manifest, ab: tuple[float, float] = (0.0, 0.0)) -> None:
        self.manifest = manifest
        self.seen: list[tuple[np.ndarray, float]] = []
        self._ab = np.array(ab, np.float32)

    def predict(self, lightness, temperature):
        self.seen.append((lightness.copy(), temperature))
        count, _, height, width = lightness.shape
        shape = (count, 2, height // 4, width // 4)
        return np.broadcast_to(self._ab[None, :, None, None], shape).astype(np.float32)

    def distribution(self, lightness):
        self.seen.append((lightness.copy(), self.manifest.temperature))
        bins = self.manifest.bins
        count, _, height, width = lightness.shape
        logits = np.zeros((count, len(bins), height // 4, width // 4), np.float32)
        logits[:, bins.index_of(self._ab)] = 50
        return Distribution(logits, bins, np.ones(count, np.float32))


@pytest.fixture
def network(manifest: Manifest) -> SpyNetwork:
    """Return a network that gives every picture and frame the same color."""
    return SpyNetwork(manifest, (24.0, 8.0))


def draw(height: int = 90, width: int = 60, seed: int = 0) -> np.ndarray:
    """Return a smooth colored picture, uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(rgb: np.ndarray, image_format: str = "JPEG", **options) -> bytes:
    """Encode a picture, uint8 (H, W) or (H, W, 3), with options of Pillow's."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, image_format, **options)
    return buffer.getvalue()


def drawn(folder: Path, count: int, height: int, width: int) -> Path:
    """Fill a new folder with so many pictures, each wider by a pixel than the one before."""
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.png").write_bytes(encoded(draw(height, width + i, seed=i), "PNG"))
    return folder


def greedy_profile(folder: Path, megabytes: int) -> Path:
    """Write a foreign network that takes much memory while it runs, and its profile."""
    import onnx  # here, because most tests do without it
    from onnx import TensorProto, helper

    side = int((megabytes * 2**20 / 4 / 2) ** 0.5)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
        helper.make_node("Expand", ["mean", "shape"], ["large"]),  # 1 x 2 x side x side
        helper.make_node("ReduceMax", ["large"], ["small"], axes=[2, 3], keepdims=1),
        helper.make_node("Sub", ["small", "middle"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "greedy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 1, 1])],
        [
            helper.make_tensor("shape", TensorProto.INT64, [4], [1, 2, side, side]),
            helper.make_tensor("middle", TensorProto.FLOAT, [1, 2, 1, 1], [40, 60]),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "greedy.onnx")
    profile = folder / "greedy.toml"
    profile.write_text('file = "greedy.onnx"\nsize = 64\nanswer = "ab"\n', encoding="utf-8")
    return profile


def names(folder: Path) -> list[str]:
    """Return the names of what is in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path) -> np.ndarray:
    """Decode a picture, uint8 (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def poster(tmp_path: Path) -> Path:
    """Return a JPEG file of 60 by 90 pixels, alone in its folder."""
    path = tmp_path / "poster.jpg"
    path.write_bytes(encoded(draw()))
    return path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a folder whose folder `in` has three pictures, a hidden one and another file."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/d.webp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(draw(), "PNG"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recolor(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[bytes, str]]:
    """Run the program in this process; show everything when the exit code is another."""

    def run(*args: object, exit_code: int = 0, stdin: bytes = b"") -> tuple[bytes, str]:
        capfdbinary.readouterr()
        pipe = io.BufferedReader(io.BytesIO(stdin))
        with monkeypatch.context() as patched, io.TextIOWrapper(pipe) as text_pipe:
            patched.setattr(sys, "stdin", text_pipe)
            code = main([str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        text = err.decode(errors="replace")
        assert code == exit_code, f"exit {code}\nstdout: {out!r}\nstderr: {text}"
        assert "Traceback" not in text
        return out, text

    return run


@pytest.fixture(autouse=True)
def workers_in_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `recolor` do batches in threads: a worker process takes a second of CPU time to start.

    Tests that are marked `processes` get the processes.
    """
    if not request.node.get_closest_marker("processes"):
        monkeypatch.setattr(WorkerOpener, "_open_processes", WorkerOpener._open_threads)


@pytest.fixture(scope="session", autouse=True)
def models_opened_once() -> Iterator[None]:
    """Open each shipped model once, and run networks in one thread.

    To open one takes as much time as a small picture. Threads of onnxruntime spin while they wait.
    """

    def once(open_session: Callable[..., InferenceSession]) -> Callable[..., InferenceSession]:
        opened = cache(open_session)

        def open_once(graph: Path, *threads: int | None) -> InferenceSession:
            one = (1,) * len(threads)
            return (opened if graph.parent == SHIPPED_MODELS else open_session)(graph, *one)

        return open_once

    with pytest.MonkeyPatch.context() as patched:
        for name in ("open_cpu_session", "open_unoptimized"):
            patched.setattr(onnx_network, name, once(getattr(onnx_network, name)))
        yield


@contextmanager
def open_chromium(
    folder: Path, window: str, preferences: Mapping[str, object] | None = None
) -> Iterator[Any]:
    """Open headless Chromium with its profile in a folder, or skip the test if it is missing.

    It logs what the console says and what is requested.
    """
    webdriver = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={folder}",
        f"--window-size={window}",
    ):
        options.add_argument(argument)
    if preferences:
        options.add_experimental_option("prefs", dict(preferences))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=driver)
    )
    try:
        chromium.get("about:blank")  # what the browser's own first page asks for is over
        yield chromium
    finally:
        chromium.quit()


def tiny_config(folder: Path) -> TrainConfig:
    """Return a training of six steps on the pictures of a folder.

    Its network is the one that takes the least time to be trained and exported.
    """
    return TrainConfig(
        name="tiny",
        train=(str(folder),),
        validation=(str(folder),),
        samples=12,
        architecture="colorunet",
        neighbours=1,
        size=32,
        long_side=(28, 48),
        run_size=32,
        batch_size=2,
        warmup=2,
        validate_every=12,
        validation_pictures=2,
        checkpoint_every=100,  # at the end alone
    )


def as_shipped(config: TrainConfig) -> TrainConfig:
    """Return the same training of a network like the default model's, with a narrow decoder."""
    return with_changes(
        config,
        architecture="efficientnet_unet",
        frozen_blocks=15,  # all but the last
        widths=(8, 8, 8, 8),
        run_size=64,
    )


def with_changes(config: TrainConfig, **changes: object) -> TrainConfig:
    """Return a config with other values, checked like those of a file."""
    return TrainConfig.from_values(config.to_values() | changes, "test")


def write_config(config: TrainConfig, path: Path) -> Path:
    """Write a config as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.to_values().items()]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of six small pictures to train on."""
    return drawn(tmp_path / "pictures", 6, 50, 40)


@pytest.fixture
def config(folder: Path) -> TrainConfig:
    """Return a training of six steps."""
    return tiny_config(folder)


@pytest.fixture
def shipped_config(config: TrainConfig) -> TrainConfig:
    """Return a training of six steps of a network like the default model's."""
    return as_shipped(config)


def trained(folder: Path, change: Callable[[TrainConfig], TrainConfig]) -> Path:
    """Return the checkpoint of the training of six steps, in a new folder."""
    from recolor_cli.training.run_state import CHECKPOINT
    from recolor_cli.training.train import train

    config = tiny_config(drawn(folder / "pictures", 6, 50, 40))
    train(change(config), folder / "run", "cpu")
    return folder / "run" / CHECKPOINT


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a finished training of six steps, which all tests read."""
    return trained(tmp_path_factory.mktemp("trained"), lambda config: config)


@pytest.fixture(scope="session")
def shipped_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return such a checkpoint of a network like the default model's."""
    return trained(tmp_path_factory.mktemp("shipped"), as_shipped)


@pytest.fixture
def finished_run(checkpoint: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder of that training."""
    return shutil.copytree(checkpoint.parent, tmp_path / "run")
