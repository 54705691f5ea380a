"""Which encoder makes the film's new stream, and how it is set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags

from recolor_cli.errors import OutputError, UsageError
from recolor_cli.types import ImageSize
from recolor_cli.video.film_reader import FilmInfo, is_pattern
from recolor_cli.video.frames import best_format

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
}  # by the names that people say; any other is FFmpeg's own
_QUALITY = {
    "libx264": 16,
    "libx265": 18,
    "libvpx-vp9": 18,
    "libsvtav1": 20,
}  # CRF, near-transparent
_LOSSLESS = {
    "libx264": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1"},
    "libvpx-vp9": {"lossless": "1"},
}
_ALWAYS_LOSSLESS = ("ffv1", "png", "tiff", "huffyuv", "ffvhuff", "utvideo", "rawvideo")
_SETTINGS = {
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"b": "0", "row-mt": "1", "cpu-used": "2"},
    "libsvtav1": {"preset": "6"},
}  # what the encoders should always be told
_ANY_SUBSAMPLING = ("libvpx-vp9", "libsvtav1", "libaom-av1", "ffv1", "png", "tiff")
_INTERLACES = ("libx264", "prores_ks", "mpeg2video", "mpeg4", "ffv1")
_PICTURES = {".png": "png", ".tif": "tiff", ".tiff": "tiff"}

# The formats that are kept; what has another ending becomes Matroska, which holds everything. So
# does AVI, which has no times but the order of its frames: H.264 has another one for showing them.
CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".qt": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".flv": "flv",
    ".3gp": "3gp",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".nut": "nut",
}
SEQUENCE = "sequence"  # in the place of a container: numbered pictures
STREAM = "yuv4mpegpipe"  # what goes to standard output
_MOV = ("mp4", "mov", "3gp")


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """What a user can ask of the new stream.

    Parameters
    ----------
    codec : str or None
        ``h264`` and the like, or FFmpeg's name of an encoder; None takes what suits the container.
    quality : int or None
        The encoder's constant rate factor: lower is better and larger; None is near-transparent.
    lossless : bool
    pixel_format : str or None
        FFmpeg's name; None keeps the depth of the source and takes 4:2:0 where that is possible.
    settings : tuple of (str, str)
        Options of the encoder, as FFmpeg names them.
    """

    codec: str | None = None
    quality: int | None = None
    lossless: bool = False
    pixel_format: str | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder and its settings, decided for one film.

    Parameters
    ----------
    codec, pixel_format, container : str
        FFmpeg's names; the container may be `SEQUENCE` or `STREAM`.
    size : ImageSize
    time_base, rate : Fraction
    pixel_aspect : Fraction or None
    colors : tuple of int
        Primaries, transfer, matrix and range.
    field_order : int
        Of interlaced film, else 0.
    settings : tuple of (str, str)
    """

    codec: str
    pixel_format: str
    container: str
    size: ImageSize
    time_base: Fraction
    rate: Fraction
    pixel_aspect: Fraction | None
    colors: tuple[int, int, int, int]
    field_order: int
    settings: tuple[tuple[str, str], ...]

    def configure(self, context: Any) -> None:
        """Set an encoder that is not open yet."""
        if self.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # else it tells its whole setup on stderr
        context.width, context.height = self.size.width, self.size.height
        context.pix_fmt = self.pixel_format
        context.time_base, context.framerate = self.time_base, self.rate
        if self.pixel_aspect:
            context.sample_aspect_ratio = self.pixel_aspect
        context.color_primaries, context.color_trc = self.colors[:2]
        context.colorspace, context.color_range = self.colors[2:]
        context.thread_count = 0
        context.thread_type = "AUTO"
        if self.field_order:
            context.field_order = self.field_order
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if self.container not in (SEQUENCE, STREAM, "mpegts"):
            context.flags |= Flags.global_header
        context.options = dict(self.settings)

    def encoder(self) -> Any:
        """Return an open encoder.

        Raises
        ------
        UsageError
            If it does not take the settings.
        """
        context = av.CodecContext.create(self.codec, "w")
        self.configure(context)
        try:
            context.open()
        except av.error.FFmpegError as error:
            advice = "try another --codec, --pixel-format or --encoder-option"
            if "crf" in dict(self.settings):
                advice += "; 0..51 are usual for --crf, lower is better"
            raise UsageError(
                f"{self.codec} does not take {self.pixel_format} of {self.size} "
                f"with {_listed(self.settings)}",
                advice,
            ) from error
        if context.options:
            unknown = ", ".join(sorted(context.options))
            raise UsageError(
                f"{self.codec} has no option {unknown}",
                f"ffmpeg -h encoder={self.codec} lists them",
            )
        return context


def container_of(path: str) -> str:
    """Return FFmpeg's name of the format of a result.

    Raises
    ------
    UsageError
        If its ending is of no format that is written.
    """
    if is_pattern(path):
        if Path(path).suffix.lower() not in _PICTURES:
            raise UsageError(f"{path}: such pictures are not written", "use %05d.png or %05d.tif")
        return SEQUENCE
    container = CONTAINERS.get(Path(path).suffix.lower())
    if container is None:
        raise UsageError(
            f"{path}: such films are not written", f"use {', '.join(sorted(CONTAINERS))}"
        )
    return container


def is_written(path: str) -> bool:
    """Tell whether a film can be written under this name."""
    known = _PICTURES if is_pattern(path) else CONTAINERS
    return Path(path).suffix.lower() in known


def kept_suffix(suffix: str) -> str:
    """Return the ending of a film's result: its own, or Matroska's where that cannot be written."""
    return suffix if suffix.lower() in CONTAINERS else ".mkv"


def decide(
    info: FilmInfo, bits: int, coding_range: int, matrix: int, destination: str,
    options: EncodingOptions, wide: bool = False,
) -> tuple[Encoding, list[str]]:  # fmt: skip
    """Decide how a film is encoded, and say what of it cannot be kept.

    Parameters
    ----------
    info : FilmInfo
    bits : int
        Of its luma.
    coding_range, matrix : int
        Of its luma, as FFmpeg numbers them.
    destination : str
        A file, a pattern, or ``-`` for a stream to standard output.
    options : EncodingOptions
    wide : bool
        Whether two frames stand side by side.

    Raises
    ------
    UsageError
        If the options make no sense together, or for this film.
    """
    container = STREAM if destination == "-" else container_of(destination)
    if container == STREAM:
        codec = "rawvideo"
        if options.codec or options.quality is not None:
            raise UsageError("standard output gets plain frames", "leave --codec and --crf out")
    elif container == SEQUENCE:
        codec = _PICTURES[Path(destination).suffix.lower()]
    else:
        name = options.codec or ("vp9" if container == "webm" else "h264")
        codec = _ENCODERS.get(name, name)
    size = ImageSize(info.size.height, info.size.width * (2 if wide else 1))
    pixel_format = _pixel_format(codec, options.pixel_format, bits, size)
    settings = _SETTINGS.get(codec, {}) | _quality(codec, options)
    for key, value in options.settings:
        joined = (
            f"{settings[key]}:{value}" if key.endswith("-params") and key in settings else value
        )
        settings[key] = joined
    layout = av.VideoFormat(pixel_format, 16, 16)
    warnings = []
    if layout.components[0].bits < bits:
        what = f"its {bits} bits a sample become {layout.components[0].bits}"
        warnings.append(f"{what}; --codec ffv1 with -o NAME.mkv keeps them")
    if len(av.VideoFormat(info.pixel_format, 16, 16).components) in (2, 4):
        warnings.append("its transparency is lost")
    interlaces = info.interlaced and codec in _INTERLACES
    if info.interlaced and not interlaces and container not in (SEQUENCE, STREAM):
        warnings.append(f"that it is interlaced is not told by {codec}; --codec h264 tells it")
    primaries, transfer = info.colors[:2]
    return Encoding(
        codec=codec,
        pixel_format=pixel_format,
        container=container,
        size=size,
        time_base=info.time_base,
        rate=info.rate,
        pixel_aspect=info.pixel_aspect,
        colors=(primaries, transfer, 0 if layout.is_rgb else matrix, coding_range),
        field_order=(info.field_order if info.field_order > 1 else 2) if interlaces else 0,
        settings=tuple(settings.items()),
    ), warnings


def _pixel_format(codec: str, asked: str | None, bits: int, size: ImageSize) -> str:
    """Return the pixel format to use, of those that the encoder has."""
    try:
        encoder = av.Codec(codec, "w")
    except (ValueError, av.error.FFmpegError) as error:
        names = ", ".join([*_ENCODERS, "ffv1"])
        raise UsageError(f"there is no encoder {codec}", f"use {names}") from error
    if encoder.type != "video":
        raise UsageError(f"{codec} encodes no picture", "use h264, hevc, vp9, av1, prores or ffv1")
    offered = [layout.name for layout in encoder.video_formats or ()]
    if codec == "rawvideo":
        offered = [f"yuv{s}p{d}" for s in (420, 422, 444) for d in ("", "10le", "12le", "16le")]
    if asked and asked not in offered:
        raise UsageError(
            f"{codec} has no pixel format {asked}", f"it has {', '.join(offered) or 'none'}"
        )
    chosen = asked or best_format(offered, bits, size, codec in (*_ANY_SUBSAMPLING, "rawvideo"))
    if chosen is None or len(av.VideoFormat(chosen, 16, 16).components) != 3:
        raise UsageError(f"{codec} has no pixel format for color that is known here", "use another")
    return chosen


def _quality(codec: str, options: EncodingOptions) -> dict[str, str]:
    """Return the encoder's options for the quality that is asked for."""
    if options.lossless:
        if options.quality is not None:
            raise UsageError("--lossless leaves nothing for --crf", "use one of them")
        if codec in _ALWAYS_LOSSLESS:
            return {}
        if codec not in _LOSSLESS:
            raise UsageError(f"{codec} is not lossless here", "use --codec h264, hevc, vp9 or ffv1")
        settings = dict(_LOSSLESS[codec])
        for key, value in _SETTINGS.get(codec, {}).items():
            if key in settings:
                settings[key] = f"{value}:{settings[key]}"
        return settings
    quality = options.quality
    if codec not in _QUALITY:
        if quality is not None:
            raise UsageError(f"--crf means nothing to {codec}", "use --encoder-option KEY=VALUE")
        return {}
    return {"crf": str(_QUALITY[codec] if quality is None else quality)}


def _listed(settings: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings) or "no options"


def is_mov(container: str) -> bool:
    """Tell whether a container is of the MP4 family, whose tracks have ticks of their own."""
    return container in _MOV


def cannot_hold(container: str, what: str) -> OutputError:
    """Return the error for a stream that a container has no place for."""
    return OutputError(f"{container} cannot hold its {what}", "use -o NAME.mkv, which can")
