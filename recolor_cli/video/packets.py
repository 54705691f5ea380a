"""Read packets of films, which may break off, and write packets, which may be damaged."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av.error

from recolor_cli.system.files import check_readable

_ADTS = 0xFFF  # the first 12 bits of a header [ISO 14496-3]


def readable_packets(container: Any, streams: Any = None) -> Iterator[Any]:
    """Yield the packets of some streams, or of all, to the end or to where the file breaks off.

    Raises
    ------
    InputError
        If the disk fails.
    """
    try:
        yield from container.demux(streams)
    except (av.error.FFmpegError, OSError):  # the file is truncated, or its disk fails
        if container.file is None:  # else it lies in memory
            check_readable(Path(container.name.removeprefix("file:")))


def mux_undamaged(target: Any, packet: Any, is_picture: bool = False) -> bool:
    """Write a packet unless it is damaged; tell whether it was written.

    A packet of a source is damaged if the muxer refuses it, or if it is a frame of AAC without its
    header. A packet of the new picture is never damaged, so its errors are raised.
    """
    if _lacks_header(packet):
        return False
    try:
        target.mux_one(packet)
    except av.error.FFmpegError as error:
        # The muxer reports a malformed frame of AAC by EPERM, when it writes the next packet.
        malformed = error.errno == errno.EPERM
        if not malformed and (is_picture or isinstance(error, OSError | MemoryError)):
            raise
        return False
    return True


def _lacks_header(packet: Any) -> bool:
    """Tell whether a frame of AAC has no header (ADTS), where its stream has none either.

    If such a frame comes first, muxers take those with headers for frames without.
    """
    context = packet.stream.codec_context
    if context is None or context.name != "aac" or context.extradata:
        return False
    return bool(int.from_bytes(bytes(packet)[:2], "big") >> 4 != _ADTS)
