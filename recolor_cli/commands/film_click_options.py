"""The options that only `recolor film` has, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from recolor_cli.commands.completers import files
from recolor_cli.commands.options import Number, add_options, cluster_option
from recolor_cli.errors import UsageError


class _Time(click.ParamType[float]):
    """A time or length: seconds, or HH:MM:SS with decimals."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds, or fail as a usage error."""
        if isinstance(value, float):
            return value
        seconds = 0.0
        try:
            for part in str(value).split(":"):
                seconds = 60 * seconds + float(part)
        except ValueError:
            self.fail(f"{value} is not a time; 90, 1:30 and 0:01:30.5 are", param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value} is not a time; it must be finite and not negative", param, ctx)
        return seconds


class _Rate(click.ParamType[Fraction]):
    """Frames per second: 24, 23.976 or 24000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a fraction in 0..1000, without 0, or fail as a usage error."""
        try:
            rate = Fraction(value).limit_denominator(100_000)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value} is not a rate; 24, 23.976 and 24000/1001 are", param, ctx)
        if not 0 < rate <= 1000:
            self.fail(f"{value} does not lie in 0..1000", param, ctx)
        return rate


class _TimedFile(click.ParamType[tuple[float, str]]):
    """A time in a film and the name of a file: TIME=FILE."""

    name = "time=file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds and a name, or fail as a usage error."""
        if isinstance(value, tuple):
            return value
        time, equals, name = str(value).partition("=")
        if not (equals and name):
            self.fail(f"{value} is not TIME=PICTURE; 1:30=still.png is", param, ctx)
        return _Time().convert(time, param, ctx), name


class _Alpha(Number):
    """Alpha of the temporal smoothing, or ``off``."""

    name = "alpha"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return alpha, infinity for ``off``."""
        return float("inf") if value == "off" else super().convert(value, param, ctx)


def film_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    return add_options(
        command,
        _reference_option,
        *_TIME_OPTIONS,
        *_ENCODING_OPTIONS,
        *_SOURCE_OPTIONS,
        cluster_option,
    )


_reference_option = click.option(
    "--reference",
    type=_TimedFile(),
    multiple=True,
    metavar="TIME=PICTURE",
    shell_complete=files,
    help="A colored still, whose colors its shot and those like it take; repeatable.",
)
_TIME_OPTIONS = (
    click.option(
        "--smoothing",
        type=_Alpha(0, 100),
        default=0.2,
        show_default=True,
        metavar="ALPHA|off",
        help="The i-th previous frame counts exp(-ALPHA i): smaller is calmer.",
    ),
    click.option(
        "--scene-threshold",
        type=Number(0, 2),
        metavar="N",
        default=0.6,
        show_default=True,
        help="Difference of two frames, 0 to 2, above which there is a cut; 2 finds none.",
    ),
    click.option(
        "--start", type=_Time(), default=0.0, metavar="TIME", help="Begin there: 90 or 1:30."
    ),
    click.option("--duration", type=_Time(), metavar="TIME", help="Length to color. [all]"),
    click.option(
        "--preview",
        is_flag=True,
        help="Show before and after side by side, for 10 seconds or --duration.",
    ),
)
_ENCODING_OPTIONS = (
    click.option(
        "--codec",
        metavar="h264|hevc|vp9|av1|prores|ffv1",
        help="Or FFmpeg's name of an encoder. [h264; vp9 in WebM]",
    ),
    click.option(
        "--crf",
        type=click.IntRange(0, 63),
        metavar="N",
        help="Quality on the codec's scale, lower is better. [near-transparent]",
    ),
    click.option("--lossless", is_flag=True, help="With h264, hevc, vp9 or ffv1."),
    click.option(
        "--pixel-format",
        metavar="FORMAT",
        help="FFmpeg's name. [4:2:0 of the source's depth; odd sizes 4:2:2 or 4:4:4]",
    ),
    click.option(
        "--encoder-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="For the encoder, such as preset=slow or tune=grain; repeatable.",
    ),
)
_SOURCE_OPTIONS = (
    click.option(
        "--raw",
        metavar="WxH[:FORMAT]",
        help="Standard input is frames without a header, as in 640x480:gray. [FORMAT: rgb24]",
    ),
    click.option(
        "--rate", type=_Rate(), metavar="FPS", help="Of numbered pictures and raw frames. [24]"
    ),
)


def split_encoder_option(text: str) -> tuple[str, str]:
    """Split KEY=VALUE, or raise UsageError."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--encoder-option {text} is not KEY=VALUE", "as in preset=slow")
    return key, value
