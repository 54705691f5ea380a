"""Read packets of films, which may break off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av.error


def readable_packets(container: Any, streams: Any = None) -> Iterator[Any]:
    """Yield the packets of some streams, or of all, to the end or to where the file breaks off."""
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):  # the file is truncated
            return
        if packet is None:
            return
        yield packet
