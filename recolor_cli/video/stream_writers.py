"""Write the sound and the subtitles of a source into a result: copied, or in another codec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import av
import av.error
from av.codec.codec import Properties

COPY = ""  # stands for the name of an encoder
_TEXT_ENCODERS = ("mov_text", "subrip", "webvtt", "ass")


def list_ways(stream: Any) -> list[str]:
    """Return the ways to write a stream, best first: `COPY`, then names of encoders.

    Sound that cannot be copied is written as samples, which lose nothing. Text becomes the kind of
    text that a container takes.
    """
    if stream.codec_context is None:
        return [COPY]
    if stream.type == "audio":
        deep = stream.format is not None and stream.format.name.startswith("s32")
        return [COPY, "pcm_s24le" if deep else "pcm_s16le"]
    properties = int(stream.codec_context.codec.properties)
    if stream.type == "subtitle" and Properties.TEXT_SUB in Properties(properties):
        return [COPY, *_TEXT_ENCODERS]
    return [COPY]


def codec_of(stream: Any) -> str:
    """Return FFmpeg's name of a stream's codec, or its type if it has none."""
    context = stream.codec_context
    return str(context.codec.canonical_name if context else stream.type)


class StreamWriter(Protocol):
    """Turns the packets of a source into those of a result."""

    stream: Any  # of the result

    def convert(self, packet: Any) -> Iterator[Any]:
        """Yield packets of the result for the next packet of the source, or for None at its end."""
        ...


def add_writer(target: Any, stream: Any, way: str) -> StreamWriter:
    """Add a stream to a container that is open for writing, and return its writer.

    Parameters
    ----------
    target : av.container.OutputContainer
    stream : av.stream.Stream
        Of the source.
    way : str
        One of `list_ways`.

    Raises
    ------
    ValueError, av.error.FFmpegError
        If the container refuses it.
    """
    if way == COPY:
        return _Copier(target.add_stream_from_template(stream, opaque=True))
    return (_SoundConverter if stream.type == "audio" else _TextConverter)(target, stream, way)


class _Copier:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def convert(self, packet: Any) -> Iterator[Any]:
        if packet is not None:
            packet.stream = self.stream
            yield packet


class _SoundConverter:
    def __init__(self, target: Any, source: Any, codec: str) -> None:
        self._decoder = source.codec_context
        self.stream = target.add_stream(codec, rate=source.rate)
        self.stream.codec_context.layout = source.layout
        self._resampler = av.AudioResampler(
            self.stream.codec_context.format.name, source.layout, source.rate
        )

    def convert(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:  # a damaged packet is a gap
            return
        for frame in frames:
            for part in self._resampler.resample(frame):
                yield from self._set_stream(self.stream.codec_context.encode(part))
        if packet is None:
            yield from self._set_stream(self.stream.codec_context.encode(None))

    def _set_stream(self, packets: list[Any]) -> list[Any]:
        for packet in packets:
            packet.stream = self.stream
        return packets


class _TextConverter:
    def __init__(self, target: Any, source: Any, codec: str) -> None:
        self._decoder = source.codec_context
        self._decoder.open(strict=False)  # the encoder needs the header that the decoder makes
        self.stream = target.add_stream(codec)
        self.stream.codec_context.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = source.time_base
        self.stream.codec_context.time_base = source.time_base

    def convert(self, packet: Any) -> Iterator[Any]:
        if packet is None:
            return
        try:
            text = self._decoder.decode2(packet)
            if text is None:
                return
            encoded = self.stream.codec_context.encode_subtitle(text)
        except av.error.FFmpegError:  # a damaged packet is a gap
            return
        made = av.Packet(bytes(encoded))
        made.pts, made.dts, made.duration = packet.pts, packet.pts, packet.duration
        made.time_base, made.stream = packet.time_base, self.stream
        yield made
