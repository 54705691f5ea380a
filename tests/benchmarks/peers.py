"""Time our network beside the shapes of other systems' networks.

    python tests/benchmarks/peers.py peers/

Writes the others as ONNX files with random weights and profiles into the folder, so that `recolor`
and `speed.py` can run them, too. Then prints the pictures a second of each network alone: it runs
on one thread for each CPU, in turns with the others, and the median of the rounds counts.

`eccv16` is Zhang et al. 2016, layer by layer (32 million parameters, 256 px). `ddcolor-large` is
the encoder of DDColor's large model (ConvNeXt-L, 196 million parameters, 512 px) and a plain
decoder of its widths. It lacks the transformer of DDColor, so the real one is slower.
"""

import argparse
import statistics
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recolor_cli.model.onnx_network import OnnxColorNetwork
from recolor_cli.system.device import cpu_count

ROUNDS = 5  # and one before them, which warms up and does not count
SECONDS = 0.7  # of a network in each round, at least one run on each thread

PROFILES = {
    "eccv16": 'file = "eccv16.onnx"\nsize = 256\noffset = [50.0]\nscale = [100.0]\nanswer = "ab"\n',
    "ddcolor-large": (
        'file = "ddcolor-large.onnx"\nsize = 512\ngray_input = true\nchannels = 3\nanswer = "ab"\n'
    ),
}


def eccv16() -> nn.Module:
    """The convolutions of Zhang et al. 2016, with a decoder to ab."""

    def block(before: int, after: int, count: int, stride: int = 1, dilation: int = 1) -> list:
        layers: list[nn.Module] = []
        for i in range(count):
            step = stride if i == count - 1 else 1
            channels = before if i == 0 else after
            layers += [
                nn.Conv2d(channels, after, 3, step, dilation, dilation),
                nn.ReLU(),
            ]
        return [*layers, nn.BatchNorm2d(after)]

    return nn.Sequential(
        *block(1, 64, 2, stride=2),
        *block(64, 128, 2, stride=2),
        *block(128, 256, 3, stride=2),
        *block(256, 512, 3),
        *block(512, 512, 3, dilation=2),
        *block(512, 512, 3, dilation=2),
        *block(512, 512, 3),
        nn.ConvTranspose2d(512, 256, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 313, 1),
        nn.Softmax(dim=1),
        nn.Conv2d(313, 2, 1, bias=False),
    )


class Norm(nn.Module):
    """Layer norm over the channels of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.mix = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(self.spread(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class DDColorLarge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [192, 384, 768, 1536]
        self.stages = nn.ModuleList()
        before = 3
        for width, depth, stride in zip(widths, (3, 3, 27, 3), (4, 2, 2, 2), strict=True):
            first = [nn.Conv2d(before, width, stride, stride), Norm(width)]
            self.stages.append(nn.Sequential(*first, *(ConvNextBlock(width) for _ in range(depth))))
            before = width
        self.ups = nn.ModuleList()
        self.joins = nn.ModuleList()
        for after, skip in ((512, 768), (512, 384), (256, 192)):
            self.ups.append(nn.Sequential(nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2)))
            self.joins.append(
                nn.Sequential(nn.Conv2d(after + skip, after, 3, padding=1), nn.ReLU())
            )
            before = after
        self.last = nn.Sequential(nn.Conv2d(256, 16 * 256, 1), nn.PixelShuffle(4))
        self.head = nn.Conv2d(256, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        for up, join, skip in zip(self.ups, self.joins, found[2::-1], strict=True):
            x = join(torch.cat((up(x), skip), dim=1))
        return self.head(self.last(x))


def write_networks(folder: Path) -> None:
    """Export the networks of the other systems, and a profile for each."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, network, shape in (
        ("eccv16", eccv16(), (1, 1, 256, 256)),
        ("ddcolor-large", DDColorLarge(), (1, 3, 512, 512)),
    ):
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"{name}: {count / 1e6:.1f} million parameters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                torch.zeros(shape),
                folder / f"{name}.onnx",
                input_names=["x"],
                output_names=["ab"],
                dynamic_axes={"x": {0: "N"}, "ab": {0: "N"}},
                dynamo=False,
            )
        (folder / f"{name}.toml").write_text(PROFILES[name])


def measure_rate(network: OnnxColorNetwork) -> float:
    """Return the pictures a second of a network that a thread for each CPU runs."""
    size = network.manifest.size
    lightness = np.random.default_rng(0).uniform(0, 100, (1, 1, size, size)).astype(np.float32)

    def run_until_end(_: int) -> int:
        done = 0
        while time.perf_counter() < end or not done:
            network.predict(lightness, network.manifest.temperature)
            done += 1
        return done

    start = time.perf_counter()
    end = start + SECONDS
    with ThreadPoolExecutor(cpu_count()) as pool:
        done = sum(pool.map(run_until_end, range(cpu_count())))
    return done / (time.perf_counter() - start)


def main() -> None:
    """Write the networks, time them and ours, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the networks, 1 GB")
    folder = parser.parse_args().folder
    write_networks(folder)
    models = ("poster", *(str(folder / f"{name}.toml") for name in PROFILES))
    networks = {Path(model).stem: OnnxColorNetwork.load(model, "cpu", 1) for model in models}
    rounds = [
        {name: measure_rate(network) for name, network in networks.items()}
        for _ in range(1 + ROUNDS)
    ]
    print("\n| network | pictures/s | `poster` is faster by |\n|---|---:|---:|")
    for name in networks:
        rate = statistics.median(found[name] for found in rounds[1:])
        ratio = statistics.median(found["poster"] / found[name] for found in rounds[1:])
        print(f"| {name} | {rate:.1f} | {ratio:.0f} |")


if __name__ == "__main__":
    main()
