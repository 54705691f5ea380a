"""The training loop: one function, readable from top to bottom."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.color.lab import rgb_to_gray
from recolor_cli.errors import DeviceError, NoInputsError, UsageError
from recolor_cli.evaluation.metrics import Accumulator, Figures
from recolor_cli.evaluation.pictures import Picture, load_pictures, usable
from recolor_cli.image.decode import decode
from recolor_cli.model.manifest import Manifest
from recolor_cli.recolorizer import Recolorizer
from recolor_cli.system.device import Device, parse_device
from recolor_cli.system.files import write_atomic
from recolor_cli.training.checkpoint import centers_of, load_checkpoint, load_start
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.data import PAD_LIGHTNESS, batches
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import AbNetwork, ColorModule, LogitsNetwork, at_pixels
from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet
from recolor_cli.training.prior import measure_classes
from recolor_cli.training.targets import (
    choose_pixels,
    color_distance,
    photograph_loss,
    rebalance_weights,
    rebalanced_cross_entropy,
    smooth_prior,
    soft_encode,
    squared_distance,
)
from recolor_cli.training.yuv import uv_to_ab
from recolor_cli.types import ColorSpace, FloatArray, ModelKind

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
_SHEET_PICTURES = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running training says of itself."""

    samples: int
    total: int
    loss: float  # what is minimised, averaged since the last report
    rate: float  # samples a second since the last report
    learning_rate: float
    figures: Figures | None = None  # when there was a validation


class AnnealedNetwork(nn.Module):
    """A classification network with its decoder: what is exported.

    Parameters
    ----------
    network : nn.Module
        L* to logits.
    manifest : Manifest
        Has the bins, and the space that they lie in.
    """

    centers: Tensor

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        super().__init__()
        self.network = network
        self.space = manifest.space
        self.register_buffer("centers", torch.tensor(manifest.centers))

    def forward(self, lightness: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return ab (N, 2, h, w), CIELAB units, and logits (N, Q, h, w) for L* (N, 1, H, W)."""
        strength = None
        if isinstance(self.network, LogitsNetwork):
            logits, strength = self.network.logits_and_strength(lightness)
        else:
            logits = self.network(lightness)
        # With the classes last in memory, onnxruntime's softmax takes a tenth of the time.
        probabilities = torch.softmax(logits.permute(0, 2, 3, 1) / temperature, dim=-1)
        mean = (probabilities @ self.centers).permute(0, 3, 1, 2)
        ab = uv_to_ab(lightness, mean) if self.space is ColorSpace.YUV else mean
        return ab if strength is None else ab * strength, logits


class PlainNetwork(nn.Module):
    """A regression network as it is exported: ab (N, 2, h, w) for L* (N, 1, H, W).

    Parameters
    ----------
    network : nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lightness: Tensor) -> Tensor:
        """Return ab (N, 2, h, w), CIELAB units."""
        return cast(Tensor, self.network(lightness))


def as_exported(network: nn.Module, manifest: Manifest) -> AnnealedNetwork | PlainNetwork:
    """Return a network with the inputs and outputs that the manifest's kind has."""
    if manifest.kind is ModelKind.CLASSIFICATION:
        return AnnealedNetwork(network, manifest)
    return PlainNetwork(network)


def color_of(
    network: AnnealedNetwork | PlainNetwork, lightness: Tensor, temperature: float
) -> Tensor:
    """Return ab (N, 2, h, w) of a network as it is exported; regression has no temperature."""
    if isinstance(network, AnnealedNetwork):
        return cast(Tensor, network(lightness, torch.tensor(temperature))[0])
    return cast(Tensor, network(lightness))


class TorchColorNetwork:
    """A network in torch that keeps the contract of a model file, for validation while it trains.

    Parameters
    ----------
    network : nn.Module
        L* to logits, or to ab, as the manifest's kind has it.
    manifest : Manifest
    """

    def __init__(self, network: nn.Module, manifest: Manifest) -> None:
        self.manifest = manifest
        self._torch_device = next(network.parameters()).device
        self._network = as_exported(network, manifest).to(self._torch_device)

    @property
    def device(self) -> str:
        """Where it runs."""
        return str(self._torch_device)

    @torch.inference_mode()
    def predict(self, lightness: FloatArray, temperature: float) -> FloatArray:
        """Return ab, shape (N, 2, h, w), as `ColorNetwork.predict`."""
        self._network.eval()
        tensor = torch.from_numpy(lightness).to(self._torch_device)
        ab: FloatArray = color_of(self._network, tensor, temperature).float().cpu().numpy()
        return ab


def train(
    config: TrainConfig,
    out: Path,
    device: str,
    init: str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    report_every_s: float = 5.0,
) -> None:
    """Train a network, or go on with a training.

    Parameters
    ----------
    config : TrainConfig
    out : Path
        Folder of the run: ``checkpoint.pt``, ``log.jsonl`` and ``samples-*.png``. If there is a
        checkpoint of the same config, the run goes on from it.
    device : str
        ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
    init : str or None
        A checkpoint of another run, a weights file or a model, by name or path, to start the
        weights from; its prior is kept. Of a sibling, which has the same trunk and another
        decoder, the trunk alone is taken.
    report : callable
        Told of the progress every few seconds and after each validation.
    report_every_s : float
        Seconds between two reports.

    Raises
    ------
    UsageError
        If `out` holds a run of another config.
    NoInputsError, InputError
        If there are no pictures, or one is broken.
    DeviceError
        If CUDA is asked for and torch has none.

    Notes
    -----
    An interrupt saves a checkpoint first. The network runs in bfloat16 where the hardware computes
    in it (on one CPU: 1.6 times as fast), and on CUDA channels-last; on a CPU that was slower.
    """
    torch_device = _torch_device(device)
    cuda = torch_device.type == "cuda"
    half = cuda or _cpu_has_bfloat16()
    cv2.setNumThreads(1)  # the samples are made by threads of our own
    torch.manual_seed(config.seed)
    pictures = _only(load_pictures(config.train), config.only)
    validation = usable(_spread(load_pictures(config.validation), config.validation_pictures))
    out.mkdir(parents=True, exist_ok=True)
    path = out / CHECKPOINT

    saved = load_checkpoint(path) if path.exists() else None
    network = build_network(config, len(AbBins.srgb()), pretrained=not (saved or init))
    earlier = 0  # samples of the runs that this one started from
    if saved:
        _check_same_run(saved, config, path)
        try:
            network.load_state_dict(saved["network"])
        except RuntimeError as error:
            raise UsageError(
                f"{path} is of another version of this architecture: {error}",
                "start from it with --init and another --out",
            ) from error
        centers, prior = centers_of(saved), np.array(saved["prior"], np.float32)
        earlier = saved["earlier"]
    elif init:
        start = load_start(init)
        earlier = start.samples
        if start.shares_trunk_alone(network):
            start.load_trunk_into(network)
            centers, prior = _classes(pictures, config, network)
        else:
            start.load_into(network)
            centers, prior = start.centers, start.prior
    else:
        centers, prior = _classes(pictures, config, network)
    gated = network if config.photographs and isinstance(network, EfficientNetUNet) else None
    if gated:
        if not (saved or init):
            raise UsageError(
                "where photographs are named, the gate alone is trained",
                "say --init with the network that it is for",
            )
        gated.train_gate_alone()
    network.to(torch_device)
    if cuda:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    average = AveragedModel(
        network,
        multi_avg_fn=get_ema_multi_avg_fn(config.ema),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimizer = _optimizer(network, config)
    steps = config.samples // config.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate_factor(step, steps, config.warmup)
    )
    step = 0
    if saved:
        average.load_state_dict(saved["average_state"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        step = saved["step"]

    loss_of = (
        photograph_loss(_photo_share(pictures, config))
        if gated
        else _loss(
            network,
            config,
            torch.from_numpy(centers).to(torch_device),
            torch.from_numpy(prior).to(torch_device),
        )
    )
    figures = Figures(**saved["figures"]) if saved and saved["figures"] else None
    if step >= steps:
        return  # it was finished before

    def save() -> None:
        write_atomic(
            path,
            _to_bytes(
                {
                    "config": config.to_values(),
                    "step": step,
                    "samples": step * config.batch_size,
                    "earlier": earlier,
                    "centers": centers.tolist(),
                    "prior": prior.tolist(),
                    "network": network.state_dict(),
                    "average": average.module.state_dict(),
                    "average_state": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "figures": asdict(figures) if figures else None,
                }
            ),
        )

    network.train(not gated)  # what is not trained must not gather statistics either
    losses: list[Tensor] = []
    since, reported_step = time.monotonic(), step
    every = {
        "checkpoint": max(1, config.checkpoint_every // config.batch_size),
        "validation": max(1, config.validate_every // config.batch_size),
    }
    try:
        stride, space = network.output_stride, network.space
        with closing(batches(pictures, config, stride, step, space)) as stream:
            while step < steps:
                batch = next(stream)
                # Chance depends on the step alone: a resumed run goes on as it would have.
                torch.manual_seed((config.seed << 32) + step)
                lightness = torch.from_numpy(batch.lightness).to(torch_device, non_blocking=True)
                if cuda:
                    lightness = lightness.to(memory_format=torch.channels_last)
                color = torch.from_numpy(batch.color).to(torch_device, non_blocking=True)
                inside = torch.from_numpy(batch.inside).to(torch_device, non_blocking=True)
                pixels = choose_pixels(inside, config.loss_pixels)
                true = color.flatten(0, 2)[pixels]  # (P, 2)
                with torch.autocast(torch_device.type, torch.bfloat16, enabled=half):
                    if gated:
                        answer = gated.photograph(lightness)
                        true = torch.from_numpy(batch.photograph).to(answer)
                    elif isinstance(network, LogitsNetwork):
                        answer = network.logits_at(lightness, pixels)
                    else:
                        answer = at_pixels(network(lightness), pixels)
                loss = loss_of(answer.float(), true)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
                optimizer.step()
                schedule.step()
                average.update_parameters(network)
                step += 1
                losses.append(loss.detach())

                validated = None
                if validation and (step % every["validation"] == 0 or step == steps):
                    manifest = make_manifest(
                        config, network, centers, prior, step * config.batch_size, {}
                    )
                    figures = validated = validate(average.module, manifest, validation)
                    sheet = sample_sheet(average.module, manifest, validation[:_SHEET_PICTURES])
                    write_atomic(out / f"samples-{step * config.batch_size:09d}.png", sheet)
                elapsed = time.monotonic() - since
                if validated or elapsed > report_every_s or step == steps:
                    progress = Progress(
                        samples=step * config.batch_size,
                        total=steps * config.batch_size,
                        loss=float(torch.stack(losses).mean()),
                        rate=(step - reported_step) * config.batch_size / elapsed,
                        learning_rate=float(schedule.get_last_lr()[0]),
                        figures=validated,
                    )
                    report(progress)
                    with (out / LOG).open("a", encoding="utf-8") as log:
                        log.write(json.dumps(asdict(progress)) + "\n")
                    losses.clear()
                    since, reported_step = time.monotonic(), step
                if step % every["checkpoint"] == 0:
                    save()
    except KeyboardInterrupt:
        save()
        raise
    save()


def _classes(
    pictures: Sequence[Picture], config: TrainConfig, network: ColorModule
) -> tuple[FloatArray, FloatArray]:
    """Return the bins and how frequent they are; none of a network that has none."""
    if isinstance(network, LogitsNetwork):
        return measure_classes(pictures, config, network)
    return np.empty((0, 2), np.float32), np.empty(0, np.float32)


def _loss(
    network: ColorModule, config: TrainConfig, centers: Tensor, prior: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what is minimised: of (P, Q) logits or (P, 2) ab, and of the true color (P, 2)."""
    if isinstance(network, AbNetwork):
        return squared_distance
    smoothed = smooth_prior(prior, centers, config.smoothing)
    weights = rebalance_weights(smoothed, config.rebalance)

    def loss(logits: Tensor, true: Tensor) -> Tensor:
        index, weight = soft_encode(true, centers, config.neighbours, config.sigma)
        entropy = rebalanced_cross_entropy(logits, index, weight, weights[index[:, 0]])
        if not config.color_loss:
            return entropy
        distance = color_distance(logits, true, centers, config.temperature)
        return entropy + config.color_loss * distance

    return loss


def validate(network: nn.Module, manifest: Manifest, pictures: Sequence[Picture]) -> Figures:
    """Recolor pictures as a run would and measure the results."""
    recolorizer = Recolorizer(TorchColorNetwork(network, manifest))
    accumulator = Accumulator()
    for picture in pictures:
        rgb = decode(picture.data).rgb
        accumulator.add(rgb, recolorizer.recolor(rgb))
    return accumulator.figures()


def sample_sheet(network: nn.Module, manifest: Manifest, pictures: Sequence[Picture]) -> bytes:
    """Return a PNG with a row a picture: gray | prediction | truth."""
    recolorizer = Recolorizer(TorchColorNetwork(network, manifest))
    rows = []
    for picture in pictures:
        rgb = decode(picture.data).rgb
        rows.append(np.hstack((rgb_to_gray(rgb), recolorizer.recolor(rgb), rgb)))
    sheet = np.full(
        (sum(r.shape[0] for r in rows), max(r.shape[1] for r in rows), 3), 255, np.uint8
    )
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    return buffer.getvalue()


def make_manifest(
    config: TrainConfig,
    network: ColorModule,
    centers: FloatArray,
    prior: FloatArray,
    samples: int,
    training: dict[str, Any],
) -> Manifest:
    """Return what a model file of this run says about itself."""
    classifies = isinstance(network, LogitsNetwork)
    return Manifest(
        name=config.name,
        kind=ModelKind.CLASSIFICATION if classifies else ModelKind.REGRESSION,
        size=config.run_size,
        stride=network.input_multiple,
        pad_lightness=PAD_LIGHTNESS,
        temperature=config.temperature,
        strength=config.strength,
        centers=tuple((float(a), float(b)) for a, b in centers) if classifies else (),
        prior=tuple(map(float, prior)) if classifies else (),
        license=config.license,
        data=config.description,
        training={"samples": samples, **training},
        space=network.space,
        square=network.square,
    )


def _torch_device(name: str) -> torch.device:
    kind, number = parse_device(name)
    if kind is Device.CPU or (kind is Device.AUTO and not torch.cuda.is_available()):
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise DeviceError(
            f"torch sees {torch.cuda.device_count()} CUDA devices",
            "use --device cpu, or install torch for CUDA",
        )
    return torch.device("cuda", number)


def _cpu_has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16; emulated it would be slower than float32."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except AttributeError:  # an older torch
        return False
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _only(pictures: list[Picture], parts: Sequence[str]) -> list[Picture]:
    """Keep the pictures whose name contains one of `parts`; all where there are none."""
    kept = [p for p in pictures if not parts or p.is_one_of(parts)]
    if not kept:
        raise NoInputsError(
            f"no picture's name contains {' or '.join(parts)}", "change `only` in the config"
        )
    return kept


def _photo_share(pictures: Sequence[Picture], config: TrainConfig) -> float:
    """Return the share of photographs among the pictures of a run that trains the gate.

    Raises
    ------
    NoInputsError
        If there is nothing to tell from each other.
    """
    share = sum(p.is_one_of(config.photographs) for p in pictures) / len(pictures)
    if not 0 < share < 1:
        raise NoInputsError(
            f"{share:.0%} of the pictures are photographs by their names",
            "the gate is trained on photographs and others: change `photographs` in the config",
        )
    return share


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Return `count` pictures from all over a list: kinds often stand one after another."""
    chosen = np.linspace(0, len(pictures), min(count, len(pictures)), endpoint=False)
    return [pictures[int(i)] for i in chosen]


def _check_same_run(saved: dict[str, Any], config: TrainConfig, path: Path) -> None:
    """Refuse to go on with a run under other rules; where files lie may change."""
    moved = ("train", "validation", "semantic_weights")
    before = TrainConfig.from_values(saved["config"], str(path)).to_values()  # with new defaults
    old = {k: v for k, v in before.items() if k not in moved}
    new = {k: v for k, v in config.to_values().items() if k not in moved}
    if changed := [key for key in new if old[key] != new[key]]:
        raise UsageError(
            f"{path} is of a run with another config: {', '.join(changed)}",
            "choose another --out, or start from it with --init",
        )


def _optimizer(network: ColorModule, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; what came pretrained moves slower, biases and norms do not decay."""
    pretrained = {id(p) for p in network.encoder_parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            key = (id(parameter) in pretrained, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * (config.encoder_rate if slow else 1),
                "weight_decay": config.weight_decay if decays else 0,
            }
            for (slow, decays), parameters in groups.items()
        ]
    )


def _rate_factor(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate: a linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _to_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
