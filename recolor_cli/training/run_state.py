"""The state of a run between two steps: opened from a checkpoint or anew, and saved as one."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recolor_cli.color.ab_bins import AbBins
from recolor_cli.errors import ModelError, UsageError
from recolor_cli.evaluation.metrics import Figures
from recolor_cli.evaluation.pictures import Picture
from recolor_cli.model.manifest import Manifest
from recolor_cli.system.files import write_atomic
from recolor_cli.training.checkpoint import centers_of, load_checkpoint, load_initial_weights
from recolor_cli.training.config import TrainConfig
from recolor_cli.training.model_wrapper import make_manifest
from recolor_cli.training.networks import build_network
from recolor_cli.training.networks.base import ColorModule
from recolor_cli.training.networks.efficientnet_unet import EfficientNetUNet
from recolor_cli.training.prior import measure_classes
from recolor_cli.training.torch_device import memory_format
from recolor_cli.types import FloatArray

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run began with, besides its config.

    Parameters
    ----------
    init : str or None
        Its initial weights, as they were named.
    pictures : int
    names_sha256 : str
        Of the names of the pictures without their folders, which may move.
    """

    init: str | None
    pictures: int
    names_sha256: str

    @classmethod
    def of(cls, init: str | None, pictures: Sequence[Picture]) -> Self:
        """Describe a run that begins now."""
        names = "\n".join(picture.name.rpartition("/")[2] for picture in pictures)
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
        return cls(init, len(pictures), digest)


class RunState:
    """The network of a run, its average, its optimizer and what else a checkpoint keeps.

    Parameters
    ----------
    path : Path
        The checkpoint.
    network : ColorModule
        On its device. Weights that require a gradient are trained.
    centers, prior : float32 arrays, shapes (Q, 2) and (Q,)
        The bins in the network's color space and their frequencies; empty for a regression network.
    earlier : int
        Samples of the runs that this one started from.
    origin : Origin
    """

    def __init__(
        self,
        config: TrainConfig,
        path: Path,
        network: ColorModule,
        centers: FloatArray,
        prior: FloatArray,
        earlier: int,
        origin: Origin,
    ) -> None:
        self.config = config
        self.network = network
        self.centers = centers
        self.prior = prior
        self.steps = config.samples // config.batch_size
        self.step = 0  # changed together with the weights, in `take_step` alone
        self.figures: Figures | None = None  # of the last validation
        self.average = AveragedModel(  # is validated and exported
            network,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._path = path
        self._earlier = earlier
        self._origin = origin
        self._optimizer = _make_optimizer(network, config)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: _rate_factor(step, self.steps, config.warmup)
        )

    @property
    def samples(self) -> int:
        """Samples that this run has seen."""
        return self.step * self.config.batch_size

    @property
    def is_finished(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.steps

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, of the first group of weights."""
        return float(self._schedule.get_last_lr()[0])

    def is_due(self, samples: int) -> bool:
        """Return whether something that happens every so many samples happens at this step."""
        return self.step % max(1, samples // self.config.batch_size) == 0

    def take_step(self, loss: Tensor) -> None:
        """Move the weights down the gradient of a loss, and count the step."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)
        self._optimizer.step()
        self._schedule.step()
        self.average.update_parameters(self.network)
        self.step += 1

    def manifest(self) -> Manifest:
        """Return the manifest that a model file of the current weights would have."""
        training = {"samples": self.samples}
        return make_manifest(self.config, self.network, self.centers, self.prior, training)

    def save(self) -> None:
        """Write the checkpoint.

        Raises
        ------
        OutputError
            If that fails.
        ModelError
            If a weight is not finite. The checkpoint before stays.
        """
        if not all(bool(p.isfinite().all()) for p in self.network.parameters()):
            raise ModelError(
                f"the training diverged before sample {self.samples:,}: a weight is not a number",
                "start again from the last checkpoint with --init, a lower learning_rate and "
                "another --out",
            )
        buffer = io.BytesIO()
        torch.save(
            {
                "config": self.config.to_values(),
                "step": self.step,
                "samples": self.samples,
                "earlier": self._earlier,
                "origin": asdict(self._origin),
                "centers": self.centers.tolist(),
                "prior": self.prior.tolist(),
                "network": self.network.state_dict(),
                "average": self.average.module.state_dict(),
                "average_state": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "figures": asdict(self.figures) if self.figures else None,
            },
            buffer,
        )
        write_atomic(self._path, buffer.getvalue())

    def restore(self, saved: dict[str, Any]) -> None:
        """Take the average, the optimizer, the step and the figures of a checkpoint."""
        self.average.load_state_dict(saved["average_state"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._schedule.load_state_dict(saved["schedule"])
        self.step = saved["step"]
        self.figures = Figures(**saved["figures"]) if saved["figures"] else None


def gated_network(config: TrainConfig, network: ColorModule) -> EfficientNetUNet | None:
    """Return the network if the run trains its gate for photographs alone, else None."""
    if config.photographs and isinstance(network, EfficientNetUNet):  # no other has a gate
        return network
    return None


def open_run(
    config: TrainConfig,
    path: Path,
    init: str | None,
    pictures: Sequence[Picture],
    device: torch.device,
    warn: Callable[[str], None] = lambda message: None,
) -> RunState:
    """Resume the run whose checkpoint is at `path`, or begin a new one.

    A new run starts from the weights of `init`, as `load_initial_weights` takes them. Without them
    the class frequencies are measured on the pictures. `warn` gets a message if a resumed run began
    with other pictures.

    Raises
    ------
    UsageError
        If the checkpoint is of another config or of other initial weights, or the gate is trained
        and there are no weights.
    ModelError
        If weights cannot be read, or do not fit the network.
    """
    saved = _load_own_checkpoint(path) if path.exists() else None
    origin = Origin.of(init, pictures)
    if config.photographs and not (saved or init):
        raise UsageError(
            "a config with `photographs` trains only the gate of a trained network",
            "name the network with --init",
        )
    torch.manual_seed(config.seed)  # for the first weights
    network = build_network(config, len(AbBins.srgb()), pretrained=not (saved or init))
    if saved:
        _check_same_run(saved, config, path)
        origin = _check_origin(saved, origin, path, warn)
        _load_saved_weights(network, saved, path)
        centers, prior = centers_of(saved), np.array(saved["prior"], np.float32)
        earlier = saved["earlier"]
    elif init:
        centers, prior, earlier = _load_initial_weights(network, init, config, pictures)
    else:
        centers, prior = measure_classes(pictures, config, network)
        earlier = 0
    if gated := gated_network(config, network):
        gated.freeze_all_but_gate()
    network.to(device)
    network.to(memory_format=memory_format(device))  # type: ignore[call-overload]
    run = RunState(config, path, network, centers, prior, earlier, origin)
    if saved:
        run.restore(saved)
    return run


def _check_same_run(saved: dict[str, Any], config: TrainConfig, path: Path) -> None:
    """Raise if a checkpoint is of another config. The places of files may differ."""
    places = ("train", "validation", "semantic_weights")
    # Checkpoints from before a field existed get its default.
    before = TrainConfig.from_values(saved["config"], str(path)).to_values()
    after = config.to_values()
    if changed := [key for key in after if key not in places and before[key] != after[key]]:
        raise UsageError(
            f"{path} is of a run with another config: {', '.join(changed)}",
            "choose another --out, or start from it with --init",
        )


def _load_own_checkpoint(path: Path) -> dict[str, Any]:
    try:
        return load_checkpoint(path)
    except ModelError as error:
        raise ModelError(
            error.message, "move it away to begin anew, or choose another --out"
        ) from error


def _check_origin(
    saved: dict[str, Any], origin: Origin, path: Path, warn: Callable[[str], None]
) -> Origin:
    """Return what the run of a checkpoint began with.

    Raises
    ------
    UsageError
        If other initial weights are named now.
    """
    if "origin" not in saved:  # an older checkpoint
        return origin
    before = Origin(**saved["origin"])
    if origin.init not in (None, before.init):
        raise UsageError(
            f"{path} is of a run that began with {before.init or 'no weights'}, not {origin.init}",
            "choose another --out, or leave --init out to resume that run",
        )
    if replace(origin, init=before.init) != before:
        warn(
            f"the run began with {before.pictures:,} pictures; these {origin.pictures:,} are "
            "others, so that their order changes"
        )
    return before


def _load_saved_weights(network: ColorModule, saved: dict[str, Any], path: Path) -> None:
    try:
        network.load_state_dict(saved["network"])
    except RuntimeError as error:
        raise UsageError(
            f"{path} is of another version of this architecture: {error}",
            "start from it with --init and another --out",
        ) from error


def _load_initial_weights(
    network: ColorModule, init: str, config: TrainConfig, pictures: Sequence[Picture]
) -> tuple[FloatArray, FloatArray, int]:
    """Load weights into a network; return its bins, their prior and the samples seen so far.

    A network with the same trunk and another decoder gives its trunk alone, and not its classes.
    """
    initial = load_initial_weights(init)
    if initial.shares_only_trunk(network):
        initial.load_trunk_into(network)
        return *measure_classes(pictures, config, network), initial.samples
    initial.load_into(network)
    return initial.centers, initial.prior, initial.samples


def _make_optimizer(network: ColorModule, config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW. Pretrained weights learn slower; biases and norms do not decay."""
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
                "lr": config.learning_rate * (config.encoder_rate if is_pretrained else 1),
                "weight_decay": config.weight_decay if decays else 0,
            }
            for (is_pretrained, decays), parameters in groups.items()
        ]
    )


def _rate_factor(step: int, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate: a linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
