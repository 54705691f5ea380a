"""Write frames as a YUV4MPEG2 stream to standard output."""

from __future__ import annotations

from fractions import Fraction

import av

from recolor_cli.terminal.streams import write_stdout
from recolor_cli.video.encoding import VideoEncoding
from recolor_cli.video.film_info import FilmInfo
from recolor_cli.video.frames import view_plane

_RANGES = {1: "LIMITED", 2: "FULL"}  # by AVColorRange


def format_y4m_header(encoding: VideoEncoding, info: FilmInfo) -> bytes:
    """Return the header line of a stream. `info` says how the film is interlaced."""
    sampling = encoding.pixel_format.removeprefix("yuv").removesuffix("le")
    sampling = {"420p": "420jpeg", "422p": "422", "444p": "444"}.get(sampling, sampling)
    aspect = encoding.pixel_aspect or Fraction(0, 1)
    order = "p" if not info.interlaced else ("t" if info.top_first else "b")
    name = _RANGES.get(encoding.colors[3])
    color_range = f" XCOLORRANGE={name}" if name else ""
    return (
        f"YUV4MPEG2 W{encoding.size.width} H{encoding.size.height} "
        f"F{encoding.rate.numerator}:{encoding.rate.denominator} I{order} "
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0} C{sampling}{color_range}\n"
    ).encode()


def write_y4m_frame(frame: av.VideoFrame) -> None:
    """Write one planar YUV frame."""
    planes = (view_plane(frame, index) for index in range(len(frame.format.components)))
    write_stdout(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes))
