"""The options for recoloring one film, and the report on the result."""

from __future__ import annotations

from dataclasses import dataclass, field

from recolor_cli.color.resize import check_mask_fit, check_same_aspect
from recolor_cli.errors import UsageError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.provenance import Provenance
from recolor_cli.types import ImageSize
from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.references import Reference
from recolor_cli.video.scenes import CUT_THRESHOLD
from recolor_cli.video.span import Span
from recolor_cli.video.temporal_smoothing import ALPHA

PREVIEW_LENGTH = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class FilmOptions:
    """The user's options for one film.

    Parameters
    ----------
    recolor : RecolorOptions
        Without hints.
    references : tuple of Reference
        Colored stills.
    encoding : VideoEncodingOptions
    temporal_smoothing : float
        Alpha of `TemporalSmoother`; infinity disables it.
    scene_threshold : float
        `scenes.measure_difference` above which a new shot begins.
    start : float
        First moment to recolor, s from the film's beginning.
    duration : float or None
        Length of the part to recolor, s; None is the rest of the film.
    preview : bool
        Show before and after side by side. The default duration is then `PREVIEW_LENGTH`.
    model_digest : str
        Hash of the model's files, so that a run is not resumed with another model.
    provenance : Provenance or None
        Written into the result; None writes nothing. It does not change the frames.

    Raises
    ------
    UsageError
        If a palette is given and another one picked.
    """

    recolor: RecolorOptions = field(default_factory=RecolorOptions)
    references: tuple[Reference, ...] = field(default=(), repr=False)
    encoding: VideoEncodingOptions = field(default_factory=VideoEncodingOptions)
    temporal_smoothing: float = ALPHA
    scene_threshold: float = CUT_THRESHOLD
    start: float = 0.0
    duration: float | None = None
    preview: bool = False
    model_digest: str = ""
    provenance: Provenance | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        steering = self.recolor.steering
        if steering and steering.palette and steering.pick > 1:
            raise UsageError(
                "--pick and --palette choose one palette each", "leave one of them out"
            )

    @property
    def span(self) -> Span:
        """The part of the film to recolor."""
        length = PREVIEW_LENGTH if self.preview and self.duration is None else self.duration
        return Span(self.start, None if length is None else self.start + length)

    def check_fit(self, displayed: ImageSize) -> None:
        """Raise InputError if the mask or a still has another shape than a film of this size."""
        if self.recolor.mask is not None:
            check_mask_fit(self.recolor.mask, displayed, of_film=True)
        for still in self.references:
            size = ImageSize(*still.rgb.shape[:2])
            check_same_aspect(f"the reference {still.name}", size, displayed, of_film=True)


@dataclass(slots=True)
class FilmReport:
    """The result of recoloring one film."""

    frames: int = 0  # frames in the result
    resumed: int = 0  # those of them that an earlier run had finished
    cuts: int = 0  # at which smoothing began anew
    interrupted: bool = False  # the same call continues the run
    warnings: list[str] = field(default_factory=list)  # properties of the film that are lost
