"""The config of a training run: a TOML file, read into a frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from recolor_cli.errors import UsageError
from recolor_cli.system.toml_config import build_config, read_toml

# The included configs, by name.
CONFIGS = {path.stem: path for path in sorted((Path(__file__).parent / "configs").glob("*.toml"))}

_POSITIVE = ("learning_rate", "gradient_clip", "sigma", "temperature", "calibration", "strength",
             "photo_strength")  # fmt: skip
_NOT_NEGATIVE = ("frozen_blocks", "smoothing", "color_loss", "encoder_rate", "warmup",
                 "weight_decay")  # fmt: skip
REGRESSIONS = ("regression", "koalarization", "fruitnet", "film")  # architectures without classes
_OF_CLASSES = ("rebalance", "smoothing", "color_loss", "neighbours", "sigma")  # in their loss
_COUNTS = ("validate_every", "validation_pictures", "checkpoint_every")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides the outcome of a run, besides the pictures themselves.

    Sizes are in px, rates per optimizer step. A sample is one crop of one picture, or all of it, so
    that each epoch adds as many samples as there are pictures.
    """

    name: str  # of the model file
    train: tuple[str, ...]  # folders, tar files or globs of them; relative to the working directory
    validation: tuple[str, ...]
    samples: int
    only: tuple[str, ...] = ()  # train only on pictures whose name contains one of these
    # Share of the samples, scaled to a sum of 1, for the pictures whose name contains each key. The
    # others are not drawn. Without shares all pictures are drawn alike.
    shares: dict[str, float] = field(default_factory=dict)
    # Pictures whose name contains one of these are photographs. If any are given, the run trains
    # only the gate that tells photographs from posters, and no other weights.
    photographs: tuple[str, ...] = ()
    description: str = ""  # of the pictures; goes into the model file
    license: str = "MIT"  # of the weights
    seed: int = 0

    architecture: str = "efficientnet_unet"
    encoder: str = "efficientnet-lite0"  # of efficientnet_unet
    frozen_blocks: int = 5  # the stem and so many blocks keep their ImageNet weights
    # Channels of the decoder from stride 32 on. Each level halves the stride: 3 end at 8, 5 at 2.
    widths: tuple[int, ...] = (192, 128, 96, 64)
    uv_bins: int = 32  # of colorunet: the most frequent of the 100 bins of its UV plane
    # Classifier of a semantic branch: an EfficientNet-Lite, "inception_resnet_v2", or "" for none.
    semantic: str = "efficientnet-lite0"
    semantic_weights: str = ""  # file for inception_resnet_v2: a state dict, or a Keras .h5
    drop_path: float = 0.0  # probability to skip the encoder's last block; less for earlier ones

    # A sample is a whole picture on its canvas of a run, and norms keep their statistics.
    whole_pictures: bool = False
    size: int = 128  # side of a training crop
    long_side: tuple[int, int] = (128, 224)  # a picture's, scaled at random before the crop
    run_size: int = 256  # long side of the canvas at inference and in validation
    batch_size: int = 32
    aged: float = 0.0  # share of the samples whose lightness is aged like an old print
    loss_pixels: float = 0.25  # share of the pixels in the loss; neighbours are similar
    rebalance: float = 0.9  # lambda: 0 weighs classes by the inverse prior, 1 weighs all the same
    smoothing: float = 0.0  # sigma of a Gaussian that blurs the prior before rebalancing, ab units
    color_loss: float = 0.0  # weight of the smooth L1 distance of the decoded ab to the true ab
    neighbours: int = 5  # bins that share a soft label
    sigma: float = 5.0  # of the soft label, ab units
    temperature: float = 0.38
    # Used at export, found on validation pictures. The logits are divided by `calibration`, so that
    # the temperature suits the network's confidence on unseen pictures.
    calibration: float = 1.0
    strength: float = 1.0  # factor on the color
    # A further factor for pictures that look like photographs, because photographs are paler.
    photo_strength: float = 1.0

    learning_rate: float = 2e-3
    encoder_rate: float = 0.25  # factor on the learning rate
    warmup: int = 100  # steps; then the learning rate falls to zero as a cosine
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    ema: float = 0.998  # weight of the old average at each step

    validate_every: int = 16_000  # samples
    validation_pictures: int = 120
    checkpoint_every: int = 3_200  # samples

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises
        ------
        UsageError
            If a value is out of its range.
        """
        checks = {
            "samples must be at least one batch": self.samples >= self.batch_size >= 1,
            "seed must lie in 0..4294967295": 0 <= self.seed < 1 << 32,
            "size and run_size must be positive multiples of 32": min(self.size, self.run_size) > 0
            and not (self.size % 32 or self.run_size % 32),
            "long_side must be two sizes, the smaller first": len(self.long_side) == 2
            and 1 <= self.long_side[0] <= self.long_side[1],
            "rebalance, aged and drop_path must lie in 0..1": all(
                0 <= share <= 1 for share in (self.rebalance, self.aged, self.drop_path)
            ),
            "shares must be positive and finite": all(
                0 < share < math.inf for share in self.shares.values()
            ),
            "loss_pixels must be more than 0, at most 1": 0 < self.loss_pixels <= 1,
            "ema must be at least 0 and less than 1": 0 <= self.ema < 1,
            "only efficientnet_unet has a gate for photographs": (
                self.architecture == "efficientnet_unet"
                or (self.photographs, self.photo_strength) == ((), 1.0)
            ),
            "only efficientnet_unet learns from whole_pictures": (
                self.architecture == "efficientnet_unet" or not self.whole_pictures
            ),
            "neighbours must lie in 1..100": 1 <= self.neighbours <= 100,
            "uv_bins must lie in 1..100": 1 <= self.uv_bins <= 100,
            # These are in ab units, and the bins of colorunet lie in UV.
            "colorunet wants neighbours = 1, smoothing = 0 and color_loss = 0": (
                self.architecture != "colorunet"
                or (self.neighbours, self.smoothing, self.color_loss) == (1, 0, 0)
            ),
            "train must name at least one source of pictures": bool(self.train),
        }
        checks |= {
            f"{key} must be positive": 0 < getattr(self, key) < math.inf for key in _POSITIVE
        }
        checks |= {
            f"{key} must be at least {least}": least <= getattr(self, key) < math.inf
            for keys, least in ((_NOT_NEGATIVE, 0), (_COUNTS, 1))
            for key in keys
        }
        for rule, kept in checks.items():
            if not kept:
                raise UsageError(f"training config: {rule}", "change it in the config")

    @property
    def keys_without_effect(self) -> list[str]:
        """Return the keys that are not at their defaults, and that this run never uses."""
        unused: tuple[str, ...] = ()
        if self.architecture != "efficientnet_unet":
            unused += ("encoder", "frozen_blocks", "widths", "drop_path")
        if self.architecture != "colorunet":
            unused += ("uv_bins",)
        if self.architecture in REGRESSIONS:
            unused += (*_OF_CLASSES, "temperature", "calibration")
        if self.whole_pictures:
            unused += ("size", "long_side")
        if self.photographs:
            unused += (*_OF_CLASSES, "loss_pixels")
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return [
            key for key, (value, default) in values.items() if key in unused and value != default
        ]

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a TOML file of the fields above.

        Parameters
        ----------
        path : Path
            The file; keys are the field names.
        overrides : mapping, optional
            Values that replace those of the file, unless they are None.

        Raises
        ------
        UsageError
            If the file cannot be read or parsed, or a key is unknown, missing or of the wrong type.
        """
        try:
            values = read_toml(path)
        except OSError as error:
            raise UsageError(
                f"cannot read {path}: {error.strerror}",
                f"name a TOML file, or one of {', '.join(CONFIGS)}",
            ) from error
        except ValueError as error:
            raise UsageError(f"{path} is not a TOML file: {error}", "correct that line") from error
        values |= {key: v for key, v in (overrides or {}).items() if v is not None}
        return cls.from_values(values, str(path))

    @classmethod
    def from_values(cls, values: dict[str, Any], source: str) -> Self:
        """Make a config of `values` after checking their names and types.

        Parameters
        ----------
        values : dict
            Values by field name.
        source : str
            File that they come from, for messages.

        Raises
        ------
        UsageError
            If a key is unknown or missing, or a value is of the wrong type or out of range.
        """
        try:
            return build_config(cls, values)
        except ValueError as error:
            raise UsageError(f"{source}: {error}", "correct it there") from error

    def to_values(self) -> dict[str, Any]:
        """Return plain values, which `from_values` accepts."""
        return asdict(self)
