"""Make small films, recolor them and read them back."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from recolor_cli.video.encoding import VideoEncodingOptions
from recolor_cli.video.film_options import FilmOptions, FilmReport
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.job import recolor_film

RATE = 24
SIZE = (64, 48)
LOSSLESS = VideoEncodingOptions(codec="ffv1")


def luma(index, width, height, levels=255):
    """Draw a pattern that moves, so that no two frames are equal."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    wave = np.sin((x + 3 * index) / 7) * np.cos((y - index) / 9)
    return np.rint((0.5 + 0.4 * wave) * levels).astype(np.uint16 if levels > 255 else np.uint8)


def frame_of(index, pixel_format="yuv420p", size=SIZE):
    width, height = size
    layout = av.VideoFormat(pixel_format, width, height)
    if layout.is_rgb:
        gray = luma(index, width, height)
        rgb = np.dstack((gray, gray // 2, 255 - gray))
        return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pixel_format)
    frame = av.VideoFrame(width, height, pixel_format)
    bits = layout.components[0].bits
    kind = np.uint16 if bits > 8 else np.uint8
    for number, plane in enumerate(frame.planes):
        memory = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind().itemsize)
        if number == 0:
            memory[:height, :width] = luma(index, width, height, (1 << bits) - 1)
        else:
            memory[:] = 1 << (bits - 1)
    return frame


def make(
    path: Path,
    count=12,
    codec="libx264",
    pixel_format="yuv420p",
    size=SIZE,
    times=None,
    time_base=Fraction(1, RATE * 512),
    sound=False,
    configure=lambda stream: None,
    finish=lambda container: None,
    options=None,
    scenes=1,
) -> Path:
    """Write a film. `times` are in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        configure(stream)
        audio = container.add_stream("aac", rate=44100) if sound else None
        finish(container)
        for index in range(count):
            frame = frame_of(index + 100 * (index * scenes // count), pixel_format, size)
            moment = times[index] if times else index / RATE
            frame.pts, frame.time_base = round(moment / time_base), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            wave = np.sin(np.arange(44100 * count // RATE) / 20).astype(np.float32)[None]
            sounds = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            sounds.sample_rate, sounds.pts = 44100, 0
            container.mux(audio.encode(sounds))
            container.mux(audio.encode(None))
    return path


def decoded(path):
    """Return time (s) and planes of each frame."""
    with av.open(str(path)) as container:
        return [(frame.time, planes(frame)) for frame in container.decode(video=0)]


def planes(frame):
    deep = frame.format.components[0].bits > 8
    found = []
    for number, plane in enumerate(frame.planes):
        memory = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        memory = memory.reshape(-1, plane.line_size // memory.itemsize)
        width = frame.format.chroma_width(frame.width) if number else frame.width
        height = frame.format.chroma_height(frame.height) if number else frame.height
        found.append(memory[:height, :width].copy())
    return found


def packets(path, kind):
    """Return stream number, time (s), duration (s) and bytes of each packet of a kind of stream."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [
            (p.stream_index, float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p))
            for p in container.demux(streams)
            if p.size
        ]


def recolored(source, destination, network, stop=None, advance=lambda count: None, **options):
    """Recolor a film with these fields of `FilmOptions`."""
    film = FilmReader(str(source))
    try:
        report: FilmReport = recolor_film(
            film, str(destination), network, FilmOptions(**options), advance, stop
        )
    finally:
        film.close()
    return report
