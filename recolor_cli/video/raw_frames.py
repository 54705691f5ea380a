"""Frames from a pipe: raw ones, whose layout the user declares, and YUV4MPEG2 streams."""

from __future__ import annotations

import re
from dataclasses import dataclass

import av

from recolor_cli.errors import UsageError
from recolor_cli.types import ImageSize


@dataclass(frozen=True, slots=True)
class RawFrames:
    """Layout of frames that come from a pipe without a header."""

    size: ImageSize
    pixel_format: str

    @classmethod
    def parse(cls, text: str) -> RawFrames:
        """Parse ``640x480`` or ``640x480:gray``. The default pixel format is rgb24.

        Raises
        ------
        UsageError
            If the text has another form, or FFmpeg has no such pixel format.
        """
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})(?::(\w+))?", text)
        if not match or not int(match[1]) or not int(match[2]):
            raise UsageError(f"--raw {text} is not a frame size", "write it as --raw 640x480:gray")
        pixel_format = match[3] or "rgb24"
        try:
            av.VideoFormat(pixel_format)
        except ValueError as error:
            raise UsageError(
                f"there is no pixel format {pixel_format}",
                "ffmpeg -pix_fmts lists them: gray, yuv420p, rgb24",
            ) from error
        return cls(ImageSize(int(match[2]), int(match[1])), pixel_format)


def is_y4m(head: bytes) -> bool:
    """Tell whether a stream that begins with these bytes is YUV4MPEG2."""
    return head.startswith(b"YUV4MPEG2")
