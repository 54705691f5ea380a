"""Write the sound and the subtitles of a source into a result: copied, or in another codec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Protocol

import av
import av.error
import av.filter
from av.bitstream import BitStreamFilterContext
from av.codec.codec import Properties

COPY = ""  # stands for the name of an encoder
_TEXT_ENCODERS = ("mov_text", "subrip", "webvtt", "ass")
# Compressed sound that players expect in a format. Few play samples in MP4.
_USUAL_SOUND = {"mp4": "aac", "3gp": "aac", "flv": "aac", "mpegts": "aac", "webm": "libopus"}
_BIT_RATE = 128_000  # of one channel of compressed sound, bits per second
# FFmpeg's default layouts of 1 to 8 channels
_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")


def list_ways(stream: Any, container: str) -> list[str]:
    """Return the ways to write a stream into a format, best first: `COPY`, then encoders.

    Sound that cannot be copied loses nothing where players play that: it becomes FLAC in Matroska
    and samples (PCM) in MOV and NUT. In other formats it becomes what players expect there, and so
    do samples. Text becomes the kind of text that a container takes.

    Parameters
    ----------
    stream : av.stream.Stream
        Of the source.
    container : str
        FFmpeg's name.
    """
    if stream.codec_context is None:
        return [COPY]
    if stream.type == "audio":
        return _list_sound_ways(stream, container)
    properties = int(stream.codec_context.codec.properties)
    if stream.type == "subtitle" and Properties.TEXT_SUB in Properties(properties):
        return [COPY, *_TEXT_ENCODERS]
    return [COPY]


def _list_sound_ways(stream: Any, container: str) -> list[str]:
    deep = stream.format is not None and stream.format.name.startswith("s32")
    lossless = "pcm_s24le" if deep else "pcm_s16le"
    if container == "matroska":
        lossless = "flac"
    usual = _USUAL_SOUND.get(container)
    if usual is None:
        return [COPY, lossless]
    # Blu-rays have samples in MPEG-TS.
    if codec_of(stream).startswith("pcm_") and container != "mpegts":
        return [usual, COPY, lossless]
    return [COPY, usual, lossless]


def is_lossy(way: str) -> bool:
    """Tell whether sound loses quality when it is written in this way."""
    return way in _USUAL_SOUND.values()


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
        return _Copier(_add_copy(target, stream))
    return (_SoundConverter if stream.type == "audio" else _TextConverter)(target, stream, way)


def _add_copy(target: Any, source: Any) -> Any:
    """Add a stream for the packets of another one, and return it."""
    try:
        return target.add_stream_from_template(source, opaque=True)
    except ValueError:
        is_decodable_sound = source.type == "audio" and source.codec_context is not None
        if target.format.name != "matroska" or not is_decodable_sound:
            raise
    # Matroska takes all sound of WAV, but PyAV asks for codecs that have a name of their own there.
    # So a stream is added in such a codec. Then a filter that changes nothing replaces its codec.
    with av.open(io.BytesIO(), "w", format="matroska") as scratch:
        named = scratch.add_stream("pcm_s16le", rate=source.rate)
        stream = target.add_stream_from_template(named)
    BitStreamFilterContext("null", source, stream)
    stream.codec_context.codec_tag = "\0\0\0\0"  # the muxer chooses its own
    stream.time_base = source.time_base
    return stream


class _Copier:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def convert(self, packet: Any) -> Iterator[Any]:
        if packet is not None:
            packet.stream = self.stream
            yield packet


class _SoundConverter:
    """Decodes sound and encodes it again. Gaps, as damage leaves them, are filled with silence."""

    def __init__(self, target: Any, source: Any, codec: str) -> None:
        self._decoder = source.codec_context
        self.stream = target.add_stream(codec, rate=_choose_rate(codec, source.rate))
        self._encoder = self.stream.codec_context
        self._encoder.layout = source.layout
        channels = source.layout.nb_channels
        if is_lossy(codec):
            self._encoder.bit_rate = _BIT_RATE * channels
        if (is_lossy(codec) or _is_unknown(source.layout)) and channels <= len(_LAYOUTS):
            self._encoder.layout = _LAYOUTS[channels - 1]
        if codec == "flac" and source.format.name.startswith("s32"):
            self._encoder.format = "s32"
        self._graph: Any = None
        self._kind: tuple[Any, ...] = ()  # of the frames that the graph takes

    def convert(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:  # a damaged packet is a gap
            return
        for frame in frames:
            yield from self._flush_if_changed(frame)
            self._graph.push(frame)
            yield from self._encode_filtered()
        if packet is None:
            yield from self._flush_graph()
            yield from self._set_stream(self._encoder.encode(None))

    def _flush_if_changed(self, frame: Any) -> Iterator[Any]:
        """Make a graph for the next frame, if its kind is not that of the one before it."""
        kind = (frame.sample_rate, frame.format.name, frame.layout.name, frame.time_base)
        if kind == self._kind:
            return
        yield from self._flush_graph()
        self._kind = kind
        encoder = self._encoder
        graph = self._graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=None if _is_unknown(frame.layout) else frame.layout.name,
                channels=frame.layout.nb_channels,
                time_base=frame.time_base,
            ),
            graph.add("aresample", f"{encoder.sample_rate}:async=1"),
            graph.add(
                "aformat",
                f"sample_fmts={encoder.format.name}:channel_layouts={encoder.layout.name}",
            ),
            graph.add("abuffersink"),
        ).configure()

    def _flush_graph(self) -> Iterator[Any]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._encode_filtered()

    def _encode_filtered(self) -> Iterator[Any]:
        """Encode what comes out of the graph."""
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield from self._set_stream(self._encoder.encode(frame))

    def _set_stream(self, packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            if packet.size:  # FLAC ends with an empty one
                packet.stream = self.stream
                yield packet


def _choose_rate(codec: str, rate: int) -> int:
    """Return the lowest sampling rate of an encoder that keeps all of the sound, else its highest.

    Rates are in Hz.
    """
    offered = av.Codec(codec, "w").audio_rates
    if not offered:
        return rate
    return min((one for one in offered if one >= rate), default=max(offered))


def _is_unknown(layout: Any) -> bool:
    """Tell whether a layout says nothing but the number of its channels."""
    return bool(layout.name.endswith("channels"))


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
