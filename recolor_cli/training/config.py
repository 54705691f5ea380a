"""What a training run is made of: one TOML file, one frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from recolor_cli.errors import UsageError
from recolor_cli.system.toml_config import build_config, read_toml

# The configs that come along, by name.
CONFIGS = {path.stem: path for path in sorted((Path(__file__).parent / "configs").glob("*.toml"))}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides the outcome of a run, besides the pictures themselves.

    Sizes are px, rates per optimizer step, `samples` are pictures seen (each epoch counts anew).
    """

    name: str  # of the model file
    train: tuple[str, ...]  # folders, tar files or globs of them; relative to where one runs
    validation: tuple[str, ...]
    samples: int
    only: tuple[str, ...] = ()  # train on pictures alone whose name contains one of these
    # Pictures whose name contains one of these are photographs. Where some are named, the run
    # trains the gate alone that tells them from posters: all other weights stay as they are.
    photographs: tuple[str, ...] = ()
    description: str = ""  # of the pictures, for the model file
    license: str = "MIT"  # of the weights
    seed: int = 0

    architecture: str = "efficientnet_unet"
    encoder: str = "efficientnet-lite0"  # of efficientnet_unet
    frozen_blocks: int = 5  # stem and first blocks stay as ImageNet made them
    # Of the decoder, from stride 32 on; each doubles the resolution: 3 end at stride 8, 5 at 2.
    widths: tuple[int, ...] = (192, 128, 96, 64)
    uv_bins: int = 32  # classes of colorunet: the most frequent of the 100 bins of its UV plane
    # Classifier that is fused in, where one is: this, or "inception_resnet_v2"; "" for none.
    semantic: str = "efficientnet-lite0"
    semantic_weights: str = ""  # file of inception_resnet_v2's: a state dict, or Keras' .h5
    drop_path: float = 0.0  # chance that the encoder's last block is skipped; less for earlier ones

    size: int = 128  # side of the square that is trained on
    long_side: tuple[int, int] = (128, 224)  # a picture is scaled to between these, then cropped
    run_size: int = 256  # side of the square when the model runs, and in validation
    batch_size: int = 32
    aged: float = 0.0  # share of the samples whose lightness is worn as old prints are
    loss_pixels: float = 0.25  # share of the pixels that the loss looks at; neighbours are alike
    rebalance: float = 0.9  # lambda: 0 weighs by the inverse prior alone, 1 not at all
    smoothing: float = 0.0  # of the prior before it weighs: sigma of a Gaussian, ab units
    color_loss: float = 0.0  # weight of the smooth L1 distance of the decoded ab to the true one
    neighbours: int = 5  # bins that share a soft label
    sigma: float = 5.0  # of the soft label, ab units
    temperature: float = 0.38
    # Found on validation, used when the model is exported: what its logits are divided by, so that
    # the temperature suits how sure it is of unseen pictures, and a factor on its color.
    calibration: float = 1.0
    strength: float = 1.0
    # On top, for what looks like a photograph: the world is paler than what is printed to be seen.
    photo_strength: float = 1.0

    learning_rate: float = 2e-3
    encoder_rate: float = 0.25  # factor on the learning rate
    warmup: int = 100  # steps; then a cosine to zero
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    ema: float = 0.998  # share of the old average kept at each step

    validate_every: int = 16_000  # samples
    validation_pictures: int = 120
    checkpoint_every: int = 3_200  # samples

    def __post_init__(self) -> None:
        """Refuse values that cannot work, at the border.

        Raises
        ------
        UsageError
            If a value is out of its range.
        """
        checks = {
            "samples must be at least one batch": self.samples >= self.batch_size >= 1,
            "size and run_size must be multiples of 32": not (self.size % 32 or self.run_size % 32),
            "long_side must be two sizes, the smaller first": len(self.long_side) == 2
            and 1 <= self.long_side[0] <= self.long_side[1],
            "rebalance, aged and drop_path must lie in 0..1": all(
                0 <= share <= 1 for share in (self.rebalance, self.aged, self.drop_path)
            ),
            "loss_pixels must be more than 0, at most 1": 0 < self.loss_pixels <= 1,
            "smoothing and color_loss must not be negative": min(self.smoothing, self.color_loss)
            >= 0,
            "ema must lie in 0..1": 0 <= self.ema < 1,
            "calibration, strength and photo_strength must be positive": min(
                self.calibration, self.strength, self.photo_strength
            )
            > 0,
            "only efficientnet_unet has a gate for photographs": (
                self.architecture == "efficientnet_unet"
                or (self.photographs, self.photo_strength) == ((), 1.0)
            ),
            "neighbours must be at least 1, sigma positive": self.neighbours >= 1
            and self.sigma > 0,
            "uv_bins must lie in 1..100": 1 <= self.uv_bins <= 100,
            # Their sigmas and distances are in ab units, and its bins lie in UV.
            "colorunet wants neighbours = 1, smoothing = 0 and color_loss = 0": (
                self.architecture != "colorunet"
                or (self.neighbours, self.smoothing, self.color_loss) == (1, 0, 0)
            ),
            "train must name at least one source of pictures": bool(self.train),
        }
        for rule, kept in checks.items():
            if not kept:
                raise UsageError(f"training config: {rule}", "change it in the config")

    @classmethod
    def load(cls, path: Path, **overrides: Any) -> Self:
        """Read a TOML file of the fields above.

        Parameters
        ----------
        path : Path
            The file; keys are the field names.
        **overrides
            Values that stand above the file's; None is left out.

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
        values |= {key: value for key, value in overrides.items() if value is not None}
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
        """Return plain values that `from_values` takes back."""
        return asdict(self)
