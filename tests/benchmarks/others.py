"""Compare profiles with the original code of other people's colorizers, and measure their graphs.

    python tests/benchmarks/others.py CLONES data/val.tar --out graphs/

CLONES is a folder with clones of github.com/clibdev/colorization (the code of Zhang et al., and an
exporter), github.com/piddnad/DDColor and github.com/jantic/DeOldify. Their code is imported, not
copied; it needs torchvision, pandas, matplotlib, fastprogress 0.2.6 and requests.

Each network gets random weights, is exported as its authors do, and runs on gray pictures in its
own pipeline and by its profile. Both get the same letterboxed canvas, so that neither resamples
it. The colors of random weights are scaled to a standard deviation of `SPREAD` ab units. *painted*
compares the results as pictures: out of gamut, the originals clip and `recolor` keeps hue and
lightness. *resampled* does so for whole pictures, which each side resamples in its own way. Then
the time and the memory of each graph are printed.
"""

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from recolor_cli.color.lab import lightness_to_gray, rgb_to_gray, rgb_to_lab_cv2
from recolor_cli.evaluation.pictures import load_pictures
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.model.registry import PROFILES
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.types import FloatArray, RgbImage

SPREAD = 15  # ab units, standard deviation of a network's answers


class Original(NamedTuple):
    """A network, and its own way from a square RGB picture to ab and to an RGB picture."""

    graph: nn.Module  # of the published form
    size: int
    opset: int
    run: Callable[[RgbImage], tuple[FloatArray | None, RgbImage]]
    profile: str


def _calibrate(network: nn.Module, squares: torch.Tensor) -> None:
    """Set the statistics of the batch norms, so that random weights give lively answers."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = None  # the mean of all that it sees
    network.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        network(squares)
    network.eval()


def _zhang(name: str, clones: Path, squares: list[RgbImage]) -> Original:
    sys.path.insert(0, str(clones / "colorization"))
    import colorizers

    network = getattr(colorizers, name)(pretrained=False).eval()
    lightness = torch.stack(
        [torch.from_numpy(rgb_to_lab_cv2(cv2.resize(s, (256, 256)))[..., 0])[None] for s in squares]
    )
    _calibrate(network, lightness)
    with torch.no_grad():
        last = network.model_out
        if name == "eccv16":
            logits: list[torch.Tensor] = []
            hook = network.model8.register_forward_hook(lambda *given: logits.append(given[2]))
            network(lightness)
            hook.remove()
            network.model8[-1].weight *= 2 / logits[0].std()  # so that its softmax has peaks
        else:
            last = last[0]
            last.bias.zero_()
        for _ in range(5):  # because tanh is not linear
            last.weight *= SPREAD / network(lightness).std()

    def run(square: RgbImage) -> tuple[FloatArray, RgbImage]:
        original, small = colorizers.preprocess_img(square, HW=(256, 256))
        with torch.no_grad():
            ab = network(small)
        shown = functional.interpolate(ab, size=square.shape[:2], mode="bilinear")
        rgb = colorizers.postprocess_tens(original, ab)
        return shown[0].permute(1, 2, 0).numpy(), np.rint(rgb * 255).astype(np.uint8)

    return Original(network, 256, 18, run, name)


def _ddcolor(size: int, clones: Path, squares: list[RgbImage], model: str = "large") -> Original:
    sys.path.insert(0, str(clones / "DDColor"))
    from basicsr.archs.ddcolor_arch import DDColor
    from ddcolor import ColorizationPipeline

    encoder = {"large": "convnext-l", "tiny": "convnext-t"}[model]
    network = DDColor(
        encoder, "MultiScaleColorDecoder", input_size=[size, size], num_output_channels=2,
        last_norm="Spectral", do_normalize=False, num_queries=100, num_scales=3, dec_layers=9,
    ).eval()  # fmt: skip
    gray = torch.stack(
        [torch.from_numpy(cv2.resize(s, (size, size)) / np.float32(255)).permute(2, 0, 1)
         for s in squares]
    )  # fmt: skip
    _calibrate(network, gray)
    last = network.refine_net[0][0]
    torch.nn.utils.remove_spectral_norm(last)
    with torch.no_grad():
        last.bias.zero_()
        last.weight *= SPREAD / network(gray).std((0, 2, 3)).mean()
        last.bias -= network(gray).mean((0, 2, 3))
    answers: list[torch.Tensor] = []
    network.register_forward_hook(lambda module, given, answer: answers.append(answer))
    pipeline = ColorizationPipeline(network, input_size=size, device="cpu")

    def run(square: RgbImage) -> tuple[FloatArray, RgbImage]:
        bgr = pipeline.process(square[..., ::-1].copy())
        shown = functional.interpolate(answers.pop(), size=square.shape[:2])
        return shown[0].permute(1, 2, 0).numpy(), bgr[..., ::-1]

    return Original(network, size, 12, run, "ddcolor")


class _Levels(nn.Module):
    """DeOldify's generator in its published form: RGB of 0..255 in and out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        answer = self.model((rgb / 255 - self.mean) / self.spread)
        return (answer * self.spread + self.mean).clamp(0, 1) * 255


def _deoldify(kind: str, size: int, clones: Path, squares: list[RgbImage]) -> Original:
    sys.path.insert(0, str(clones / "DeOldify"))
    # Its copy of fastai asks setuptools for versions, which it no longer tells.
    stub = ModuleType("pkg_resources")
    stub.require = lambda *names: None  # type: ignore[attr-defined]
    sys.modules.setdefault("pkg_resources", stub)
    import torchvision.models
    from deoldify.filters import ColorizerFilter
    from deoldify.unet import DynamicUnetDeep, DynamicUnetWide
    from fastai.layers import NormType
    from fastai.vision.learner import create_body

    arch, unet, factor = {
        "artistic": (torchvision.models.resnet34, DynamicUnetDeep, 1.5),
        "stable": (torchvision.models.resnet101, DynamicUnetWide, 2),
    }[kind]
    model = unet(
        create_body(arch, pretrained=False), n_classes=3, blur=True, blur_final=True,
        self_attention=True, y_range=(-3.0, 3.0), norm_type=NormType.Spectral, last_cross=True,
        bottle=False, nf_factor=factor,
    ).eval()  # fmt: skip
    graph = _Levels(model).eval()
    gray = torch.stack(
        [torch.from_numpy(cv2.resize(s, (size, size)).astype(np.float32)).permute(2, 0, 1)
         for s in squares]
    )  # fmt: skip
    _calibrate(graph, gray)
    last = model[-2][0]
    torch.nn.utils.remove_spectral_norm(last)
    answers: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda *given: answers.append(given[2]))
    with torch.no_grad():
        graph(gray)
        # A few pixels answer so strongly that a deviation would leave the others without color.
        levels = answers[0].transpose(0, 1).flatten(1).quantile(torch.tensor([0.16, 0.5, 0.84]), 1)
        # Of what the last sigmoid then bends. At four times as much, DeOldify's YUV of 8 bits
        # does not hold the colors of up to a quarter of the pixels.
        factors = 0.15 / ((levels[2] - levels[0]) / 2)
        last.weight *= factors[:, None, None, None]
        last.bias.sub_(levels[1]).mul_(factors)
    hook.remove()

    def pred_batch(batch: tuple[torch.Tensor, torch.Tensor], **_: Any) -> list[Any]:
        # As fastai's: the answer is denormalised, and clamped to what a picture holds.
        with torch.no_grad():
            answer = (model(batch[0]) * graph.spread + graph.mean).clamp(0, 1)
        return [SimpleNamespace(px=answer[0])]

    own = ColorizerFilter(SimpleNamespace(model=model, pred_batch=pred_batch))

    def run(square: RgbImage) -> tuple[None, RgbImage]:
        picture = Image.fromarray(square)
        return None, np.asarray(own.filter(picture, picture, size // 16))

    return Original(graph, size, 17, run, f"deoldify-{kind}")


def _build(name: str, clones: Path, squares: list[RgbImage]) -> Original:
    torch.manual_seed(0)
    kind, _, size = name.partition("@")
    if kind.startswith("ddcolor"):
        return _ddcolor(int(size), clones, squares, kind.partition("-")[2] or "large")
    if kind.startswith("deoldify"):
        return _deoldify(kind.partition("-")[2], int(size), clones, squares)
    return _zhang(kind, clones, squares)


def _pad(rgb: RgbImage, level: int) -> tuple[RgbImage, tuple[slice, slice]]:
    """Pad a picture to a square; return it, and the rows and columns of the picture."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), level, np.uint8)
    inside = slice(top, top + height), slice(left, left + width)
    square[inside] = rgb
    return square, inside


def _export(original: Original, out: Path) -> None:
    example = torch.zeros(
        1, original.profile in ("eccv16", "siggraph17") or 3, *[original.size] * 2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            original.graph, (example.float() + 50,), out, input_names=["input"],
            output_names=["output"], opset_version=original.opset, dynamo=False,
        )  # fmt: skip


def compare(name: str, clones: Path, pictures: list[RgbImage], out: Path) -> None:
    """Print the differences of one network."""
    gray_level = int(lightness_to_gray(np.full((1, 1), 50, np.float32))[0, 0, 0])
    squares = [_pad(rgb, gray_level)[0] for rgb in pictures]
    original = _build(name, clones, squares[:2])
    path = out / f"{name}.onnx"
    _export(original, path)
    profile = out / f"{name}.toml"
    text = PROFILES[original.profile].read_text(encoding="utf-8")
    own_file = ForeignProfile.load(PROFILES[original.profile]).file
    profile.write_text(text.replace(f'"{own_file}"', f'"{path.name}"'), encoding="utf-8")
    recolorizer = Recolorizer(OnnxColorNetwork.load(profile, "cpu"))
    size = (original.size, original.size)
    chroma, planes, painted, resampled = [], [], [], []
    for number, (rgb, square) in enumerate(zip(pictures, squares, strict=True)):
        # The same canvas for both: neither has to resample it. Its channels are equal. Resized one
        # by one, some pixels differ by a level. One side drops that, and random weights enlarge it.
        gray = cv2.resize(square[..., 0], size, interpolation=cv2.INTER_AREA)
        canvas = np.repeat(gray[..., None], 3, axis=2)
        own_ab, own_rgb = original.run(canvas)
        own_painted = rgb_to_lab_cv2(np.ascontiguousarray(own_rgb))[..., 1:]
        own_ab = own_painted if own_ab is None else own_ab  # an RGB answer has been clipped
        # In 16 bits, because the tables for bytes are off by up to 0.02 levels, and DeOldify stable
        # with random weights answers to a noise of 0.01 levels with 3 ab units.
        ab = recolorizer.predict(canvas.astype(np.uint16) * 257)
        chroma.append(np.hypot(own_ab[..., 0], own_ab[..., 1]).mean())
        planes.append(np.abs(ab - own_ab).mean())
        lab = rgb_to_lab_cv2(recolorizer.paint(canvas, ab))
        painted.append(np.abs(lab[..., 1:] - own_painted).mean())
        if number % 4 == 0:
            # The picture itself: each resamples it, and enlarges the color, in its own way.
            inside = _pad(rgb, gray_level)[1]
            _, own_rgb = original.run(square)
            theirs = rgb_to_lab_cv2(np.ascontiguousarray(own_rgb[inside]))[..., 1:]
            ours = rgb_to_lab_cv2(recolorizer.recolor(rgb))[..., 1:]
            resampled.append(np.abs(ours - theirs).mean())
    print(
        f"| {name} | {original.size} | {np.mean(chroma):.1f} | {np.mean(planes):.3f} | "
        f"{np.max(planes):.3f} | {np.mean(painted):.2f} | {np.mean(resampled):.2f} |",
        flush=True,
    )


# A program of its own, because the memory of this one holds the originals.
_MEASURE = """
import statistics, sys, time
from pathlib import Path
import numpy as np
from recolor_cli.model.foreign_profile import ForeignProfile
from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.memory import used_memory
profile, before = Path(sys.argv[1]), used_memory().most
network = OnnxColorNetwork.load(profile, "cpu", threads=1)
size = network.manifest.size
lightness = np.random.default_rng(0).uniform(0, 100, (1, 1, size, size)).astype(np.float32)
seconds = []
for _ in range(3):
    started = time.process_time()
    network.predict(lightness, 0.38)
    seconds.append(time.process_time() - started)
file = profile.parent / ForeignProfile.load(profile).file
print(f"| {profile.stem} | {size} | {file.stat().st_size / 1e6:.0f} | "
      f"{statistics.median(seconds):.2f} | {used_memory().most / 1e6:.0f} | {before / 1e6:.0f} |")
"""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path)
    parser.add_argument("pictures")
    parser.add_argument("--out", type=Path, required=True, help="Folder for the graphs.")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--network", action="append")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    found = load_pictures([options.pictures])
    chosen = found[:: len(found) // options.count][: options.count]
    pictures = [rgb_to_gray(picture.rgb()) for picture in chosen]
    names = options.network or ["eccv16", "siggraph17", "ddcolor-tiny@256", "deoldify-artistic@256"]
    print(
        "| network | size | mean chroma | mean difference of ab | of the worst picture | painted "
        "| resampled |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in names:
        compare(name, options.clones, pictures, options.out)
    print("\n| network | size | file, MB | CPU seconds | peak MB | of these, Python |")
    print("|---|---:|---:|---:|---:|---:|")
    sys.stdout.flush()
    for name in names:
        command = [sys.executable, "-c", _MEASURE, str(options.out / f"{name}.toml")]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
