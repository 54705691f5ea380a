"""Choose the encoder of a film's new picture stream, and its settings."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags

from recolor_cli.errors import UsageError
from recolor_cli.types import ImageSize
from recolor_cli.video.containers import SEQUENCE, SEQUENCE_CODECS, Y4M, find_container
from recolor_cli.video.film_info import FilmInfo
from recolor_cli.video.pixel_format import choose_pixel_format
from recolor_cli.video.planes import YuvCoding

# FFmpeg's encoders by the usual names of the codecs. Other names are passed to FFmpeg unchanged.
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
}
_CRF = {"libx264": 16, "libx265": 18, "libvpx-vp9": 18, "libsvtav1": 20}  # near-transparent
_LOSSLESS = {
    "libx264": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1"},
    "libvpx-vp9": {"lossless": "1"},
}
_ALWAYS_LOSSLESS = ("ffv1", "png", "tiff", "huffyuv", "ffvhuff", "utvideo", "rawvideo")
_DEFAULT_SETTINGS = {
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"b": "0", "row-mt": "1", "cpu-used": "2"},
    "libsvtav1": {"preset": "6"},
}
_ANY_SUBSAMPLING = ("libvpx-vp9", "libsvtav1", "libaom-av1", "ffv1", "png", "tiff", "rawvideo")
_COMMON_SIZE = ImageSize(576, 720)  # that all encoders are likely to take
# Codecs of sources that people choose on purpose, for quality or size. A change of one is told.
_KEPT_CODECS = ("hevc", "vp9", "av1", "prores")
_INTERLACES = ("libx264", "prores_ks", "mpeg2video", "mpeg4", "ffv1")


@dataclass(frozen=True, slots=True)
class VideoEncodingOptions:
    """The user's options for the new picture stream.

    None chooses a codec that suits the container, a near-transparent quality, and a pixel format
    that keeps the depth of the source, in 4:2:0 if possible.
    """

    codec: str | None = None  # ``h264`` and the like, or FFmpeg's name of an encoder
    quality: int | None = None  # constant rate factor: lower is better and larger
    lossless: bool = False
    pixel_format: str | None = None  # FFmpeg's name
    settings: tuple[tuple[str, str], ...] = ()  # private options of the encoder


@dataclass(frozen=True, slots=True)
class VideoEncoding:
    """An encoder and its settings, chosen for one film. All names are FFmpeg's."""

    codec: str
    pixel_format: str
    container: str  # or `SEQUENCE`, or `Y4M`
    size: ImageSize  # of a frame, px
    time_base: Fraction  # seconds per tick
    rate: Fraction  # frames per second
    pixel_aspect: Fraction | None  # width over height
    colors: tuple[int, int, int, int]  # as in `FilmInfo`
    field_order: int  # AVFieldOrder of interlaced film, else 0
    settings: tuple[tuple[str, str], ...]  # private options of the encoder

    def configure(self, context: Any) -> None:
        """Set the fields of a codec context that is not open yet."""
        if self.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # else it prints its configuration to stderr
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
        if self.container not in (SEQUENCE, Y4M, "mpegts"):
            context.flags |= Flags.global_header
        context.options = dict(self.settings)

    def open_encoder(self) -> Any:
        """Open the encoder and return its codec context.

        Raises
        ------
        UsageError
            If the encoder rejects the settings.
        """
        context = av.CodecContext.create(self.codec, "w")
        self.configure(context)
        try:
            context.open()
        except av.error.FFmpegError as error:
            advice = "try another --codec, --pixel-format or --encoder-option"
            if "crf" in dict(self.settings):
                advice += "; usual values of --crf are 0..51, lower is better"
            listed = ", ".join(f"{key}={value}" for key, value in self.settings) or "no options"
            raise UsageError(
                f"{self.codec} does not take {self.pixel_format} of {self.size} with {listed}",
                advice,
            ) from error
        if context.options:
            unknown = ", ".join(sorted(context.options))
            raise UsageError(
                f"{self.codec} has no option {unknown}",
                f"ffmpeg -h encoder={self.codec} lists them",
            )
        return context


def check_options(destination: str, options: VideoEncodingOptions) -> None:
    """Check what can be known of the options before a film is opened.

    Raises
    ------
    UsageError
        If there is no such encoder or pixel format, the encoder rejects its own settings, or the
        options contradict each other.
    """
    container = Y4M if destination == "-" else find_container(destination)
    codec = _choose_codec(container, destination, options)
    pixel_format = _choose_format_of_codec(codec, options.pixel_format, 8, _COMMON_SIZE)
    settings = tuple(_collect_settings(codec, options).items())
    if not options.settings:
        return
    defaults = _collect_settings(codec, replace(options, settings=()))
    encoding = VideoEncoding(
        codec=codec,
        pixel_format=pixel_format,
        container=container,
        size=_COMMON_SIZE,
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        pixel_aspect=None,
        colors=(2, 2, 2, 1),
        field_order=0,
        settings=tuple(defaults.items()),
    )
    try:
        encoding.open_encoder()
    except UsageError:  # it takes no frames of this size; the film will tell
        return
    replace(encoding, settings=settings).open_encoder()


def choose_encoding(
    info: FilmInfo,
    coding: YuvCoding,
    destination: str,
    options: VideoEncodingOptions,
    preview: bool = False,
) -> tuple[VideoEncoding, list[str]]:
    """Choose how a film is encoded.

    Parameters
    ----------
    info : FilmInfo
    coding : YuvCoding
        Coding of the film's frames.
    destination : str
        A file, a pattern of numbered pictures, or ``-`` for a stream to standard output.
    options : VideoEncodingOptions
    preview : bool
        Whether each frame of the result shows two frames side by side.

    Returns
    -------
    VideoEncoding
    list of str
        Warnings that name properties of the film that the encoding cannot keep.

    Raises
    ------
    UsageError
        If the options contradict each other, or do not fit the film.
    """
    container = Y4M if destination == "-" else find_container(destination)
    codec = _choose_codec(container, destination, options)
    size = ImageSize(info.size.height, info.size.width * (2 if preview else 1))
    source = av.VideoFormat(info.pixel_format, 16, 16)
    # RGB of 14 bits is colored in 16, and RGB of 5 and 6 in 8.
    bits = min(coding.bits, max(8, *(component.bits for component in source.components)))
    # The chroma of each half of a preview has the width that it has alone.
    pixel_format = _choose_format_of_codec(codec, options.pixel_format, bits, info.size)
    layout = av.VideoFormat(pixel_format, 16, 16)
    warnings = []
    if layout.components[0].bits < bits:
        warnings.append(
            f"its {bits} bits a sample become {layout.components[0].bits}; "
            "--codec ffv1 with -o NAME.mkv keeps them"
        )
    if len(source.components) in (2, 4):
        warnings.append("its transparency is lost")
    settings = _collect_settings(codec, options)
    warnings += _keep_hdr10(info, codec, settings)
    if info.codec in _KEPT_CODECS and not options.codec and container not in (SEQUENCE, Y4M):
        made = av.Codec(codec, "w").canonical_name
        if made != info.codec:
            warnings.append(
                f"its picture changes from {info.codec} to {made}; --codec {info.codec} keeps it"
            )
    interlaces = info.interlaced and codec in _INTERLACES
    if info.interlaced and not interlaces and container not in (SEQUENCE, Y4M):
        warnings.append(f"{codec} cannot declare that it is interlaced; --codec h264 can")
    return VideoEncoding(
        codec=codec,
        pixel_format=pixel_format,
        container=container,
        size=size,
        time_base=info.time_base,
        rate=info.rate,
        pixel_aspect=info.pixel_aspect,
        colors=(
            *info.colors[:2],
            0 if layout.is_rgb else coding.matrix,
            2 if coding.full_range else info.colors[3],
        ),
        field_order=(info.field_order if info.field_order > 1 else 2) if interlaces else 0,
        settings=tuple(settings.items()),
    ), warnings


def _keep_hdr10(info: FilmInfo, codec: str, settings: dict[str, str]) -> list[str]:
    """Add the source's HDR10 metadata to the settings of an encoder; return warnings if it cannot.

    The user's own settings count more.
    """
    found = {"master-display": info.hdr10.mastering_display, "max-cll": info.hdr10.light_level}
    found = {key: value for key, value in found.items() if value}
    if not found:
        return []
    if codec != "libx265":
        return ["its HDR10 metadata is lost; --codec hevc keeps it"]
    given = settings.get("x265-params", "")
    new = [f"{key}={value}" for key, value in found.items() if key not in given]
    settings["x265-params"] = ":".join([*filter(None, [given]), "hdr10=1", *new])
    return []


def _choose_codec(container: str, destination: str, options: VideoEncodingOptions) -> str:
    """Return FFmpeg's name of the encoder."""
    if container == Y4M:
        if options.codec or options.quality is not None:
            raise UsageError(
                "standard output gets uncompressed frames", "leave --codec and --crf out"
            )
        return "rawvideo"
    if container == SEQUENCE:
        codec = SEQUENCE_CODECS[Path(destination).suffix.lower()]
        if options.codec not in (None, codec) or options.quality is not None:
            raise UsageError(
                f"numbered pictures are {codec.upper()} by their ending, and lossless",
                "leave --codec and --crf out, or make one file of them: -o NAME.mkv",
            )
        return codec
    name = options.codec or ("vp9" if container == "webm" else "h264")
    return _ENCODERS.get(name, name)


def _choose_format_of_codec(codec: str, requested: str | None, bits: int, size: ImageSize) -> str:
    """Return the requested pixel format, or the best one of the encoder."""
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
    if requested and requested not in offered:
        raise UsageError(
            f"{codec} has no pixel format {requested}", f"it has {', '.join(offered) or 'none'}"
        )
    any_subsampling = codec in _ANY_SUBSAMPLING
    chosen = requested or choose_pixel_format(offered, bits, size, any_subsampling)
    if chosen is None:
        raise UsageError(f"{codec} has no pixel format for color", "use another --codec")
    if len(av.VideoFormat(chosen, 16, 16).components) != 3:
        raise UsageError(
            f"{chosen} is no pixel format of color without transparency",
            "use another --pixel-format, or leave it out",
        )
    return chosen


def _collect_settings(codec: str, options: VideoEncodingOptions) -> dict[str, str]:
    """Return the private options of an encoder: the defaults, the quality and the user's own."""
    settings = _DEFAULT_SETTINGS.get(codec, {}) | _choose_quality_settings(codec, options)
    for key, value in options.settings:
        joins = key.endswith("-params") and key in settings
        settings[key] = f"{settings[key]}:{value}" if joins else value
    return settings


def _choose_quality_settings(codec: str, options: VideoEncodingOptions) -> dict[str, str]:
    """Return the private options of an encoder for the requested quality."""
    if options.lossless:
        if options.quality is not None:
            raise UsageError("--lossless and --crf contradict each other", "use one of them")
        if codec in _ALWAYS_LOSSLESS:
            return {}
        if codec not in _LOSSLESS:
            raise UsageError(
                f"{codec} cannot encode without loss", "use --codec h264, hevc, vp9 or ffv1"
            )
        settings = dict(_LOSSLESS[codec])
        for key, value in _DEFAULT_SETTINGS.get(codec, {}).items():
            if key in settings:
                settings[key] = f"{value}:{settings[key]}"
        return settings
    if codec not in _CRF:
        if options.quality is not None:
            raise UsageError(f"{codec} has no --crf", "use --encoder-option KEY=VALUE")
        return {}
    return {"crf": str(_CRF[codec] if options.quality is None else options.quality)}
