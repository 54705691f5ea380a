"""One film in, one recolored film out: decoding, network, painting and encoding side by side."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import numpy as np

from recolor_cli.errors import InferenceError, InputError, OutputError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import MIN_SIDE
from recolor_cli.system.device import cpu_count
from recolor_cli.system.files import mount_point, remove_leftovers, write_atomic, writing
from recolor_cli.system.prefetch import ordered_parallel_map, prefetch
from recolor_cli.terminal.streams import write_stdout
from recolor_cli.types import FloatArray
from recolor_cli.video.encoding import SEQUENCE, STREAM, Encoding, EncodingOptions, decide
from recolor_cli.video.film_reader import Film, numbered
from recolor_cli.video.frames import (
    View,
    coding_of,
    painted,
    pixels_of,
    plane,
    side_by_side,
    with_luma,
)
from recolor_cli.video.muxing import Span, Stopped, assemble, check
from recolor_cli.video.scenes import THRESHOLD
from recolor_cli.video.segment_store import SEGMENT, Progress, Storage, StoredPacket
from recolor_cli.video.temporal_smoothing import ALPHA, TemporalSmoother

PREVIEW = 10.0  # seconds
_CUDA_BATCH = 16  # frames
_AHEAD = 4  # frames that are decoded before they are asked for


@dataclass(frozen=True, slots=True)
class FilmOptions:
    """What a user can ask of one film.

    Parameters
    ----------
    recolor : RecolorOptions
    encoding : EncodingOptions
    smoothing : float
        Alpha of `TemporalSmoother`; infinite switches it off.
    scene_threshold : float
        `scenes.scene_change` at which a new shot begins.
    start : float
        What to begin with, s from the film's beginning.
    duration : float or None
        How much of it, s; None is all.
    preview : bool
        Before and after side by side; of the first seconds, unless `duration` is given.
    """

    recolor: RecolorOptions = field(default_factory=RecolorOptions)
    encoding: EncodingOptions = field(default_factory=EncodingOptions)
    smoothing: float = ALPHA
    scene_threshold: float = THRESHOLD
    start: float = 0.0
    duration: float | None = None
    preview: bool = False

    @property
    def span(self) -> Span:
        """The part of the film that is asked for."""
        length = PREVIEW if self.preview and self.duration is None else self.duration
        return Span(self.start, None if length is None else self.start + length)


@dataclass(slots=True)
class FilmReport:
    """What became of a film.

    Parameters
    ----------
    frames : int
        In the result.
    resumed : int
        Of these, how many an earlier run had done.
    cuts : int
        Between shots, where smoothing began anew.
    interrupted : bool
        Whether it was stopped; the same call goes on from there.
    warnings : list of str
        What could not be kept.
    seconds : float
    """

    frames: int = 0
    resumed: int = 0
    cuts: int = 0
    interrupted: bool = False
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class _Shot:
    """One frame on its way: as decoded, its time, what the network saw, and what it said."""

    frame: av.VideoFrame
    ticks: int
    square: FloatArray
    ab: FloatArray | None = None
    smoother: Any = None


def recolor_film(
    film: Film,
    destination: str,
    network: ColorNetwork,
    options: FilmOptions,
    advance: Callable[[int], None] = lambda count: None,
    stop: threading.Event | None = None,
) -> FilmReport:
    """Recolor a film.

    Parameters
    ----------
    film : Film
    destination : str
        A file, a pattern of numbered pictures, or ``-`` for a YUV4MPEG2 stream to standard output.
    network : ColorNetwork
    options : FilmOptions
    advance : callable
        Is told how many more frames are done.
    stop : threading.Event or None
        Once set, what is begun is finished and kept for the next run.

    Raises
    ------
    InputError
        If the film cannot be decoded, or has no frame in the span.
    OutputError
        If the result cannot be written.
    InferenceError
        If the network fails.
    UsageError
        If the film cannot be encoded as the options say.
    """
    started = time.monotonic()
    stop = stop or threading.Event()
    if min(film.info.size.height, film.info.size.width) < MIN_SIDE:
        raise InputError(
            f"{film.info.size} pixels are too few to recolor; the least is {MIN_SIDE} a side",
            "enlarge it",
        )
    work = _Work(film, network, options)
    report = FilmReport()
    if destination == "-":
        _stream(work, report, advance, stop)
    else:
        _into_file(work, Path(destination), report, advance, stop)
    report.warnings += film.warnings
    report.seconds = time.monotonic() - started
    return report


class _Work:
    """The stages of the pipeline, for one film."""

    def __init__(self, film: Film, network: ColorNetwork, options: FilmOptions) -> None:
        self.film, self.options, self._network = film, options, network
        self.manifest = network.manifest
        self.smoother = TemporalSmoother(options.smoothing, options.scene_threshold)
        info = film.info
        # All frames have the coding of this empty one.
        empty = av.VideoFrame(info.size.width, info.size.height, info.pixel_format)
        empty.colorspace, empty.color_range = info.colors[2:]
        self.coding = coding_of(with_luma(empty))
        aspect = float(info.pixel_aspect or 1)
        self.view = View.of(info.size, aspect, info.rotation, self.manifest)
        self.smoother.inside = self.view.inside
        self._on_cuda = network.device != "cpu"
        self._cpus = cpu_count()

    def encoding(self, destination: str) -> tuple[Encoding, list[str]]:
        """Decide how the result is encoded."""
        probe = 2 if self.coding.full_range else self.film.info.colors[3]
        return decide(
            self.film.info, self.coding.bits, probe, self.coding.matrix, destination,
            self.options.encoding, self.options.preview,
        )  # fmt: skip

    def frames(self, after: int | None, target: str) -> Iterator[_Shot]:
        """Yield the painted frames behind a tick, with the state of the smoother behind each.

        Their times count from the beginning of the span.
        """
        read = prefetch(self._squares(after), _AHEAD)
        batches = _batches(read, _CUDA_BATCH if self._on_cuda else 1)
        asked = ordered_parallel_map(self._ask, batches, 2 if self._on_cuda else self._cpus)
        smoothed = prefetch(self._smoothed(asked), _AHEAD)
        return ordered_parallel_map(lambda shot: self._paint(shot, target), smoothed, self._cpus)

    def _squares(self, after: int | None) -> Iterator[_Shot]:
        """Decode, and make what the network reads."""
        base, span = self.film.info.time_base, self.options.span
        offset = self.film.info.start
        if after is None and span.start:
            after = math.floor((span.start + offset) / base) - 1
        for ticks, frame in self.film.frames(after):
            moment = float(ticks * base) - offset
            if not span.is_all:
                if span.end is not None and moment >= span.end:
                    return
                if not span.holds(moment):
                    continue
            luma = with_luma(frame)
            coding = coding_of(luma)
            fill = self.manifest.pad_lightness
            yield _Shot(luma, ticks, self.view.canvas(plane(luma, 0), coding, fill))

    def _ask(self, shots: list[_Shot]) -> list[_Shot]:
        """Ask the network about some frames at a time."""
        recolor = self.options.recolor
        tensor = np.stack([self.view.reset_orientation(shot.square) for shot in shots])[:, None]
        temperature = recolor.temperature or self.manifest.temperature
        answer = self._network.predict(tensor, temperature)
        if not np.isfinite(answer).all():
            raise InferenceError(
                "the network's answer is not a number", "try --device cpu, or another model"
            )
        answer = answer * np.float32(recolor.strength * self.manifest.strength)
        for shot, ab in zip(shots, answer.transpose(0, 2, 3, 1), strict=True):
            shot.ab = self.view.stored(ab)
        return shots

    def _smoothed(self, batches: Iterable[list[_Shot]]) -> Iterator[_Shot]:
        """Smooth over time: the one stage that goes from frame to frame."""
        for shot in chain.from_iterable(batches):
            assert shot.ab is not None
            shot.ab = self.smoother.step(shot.square, shot.ab)
            shot.smoother = (self.smoother.state, self.smoother.cuts)
            yield shot

    def _paint(self, shot: _Shot, target: str) -> _Shot:
        """Give a frame its color."""
        assert shot.ab is not None
        before = pixels_of(shot.frame, target) if self.options.preview else None
        shot.frame = painted(shot.frame, shot.ab, self.view, target)
        if before:
            shot.frame = side_by_side(before, shot.frame)
        return shot


def _batches(shots: Iterable[_Shot], size: int) -> Iterator[list[_Shot]]:
    shots = iter(shots)
    while batch := list(islice(shots, size)):
        yield batch


def _into_file(
    work: _Work, destination: Path, report: FilmReport, advance: Callable[[int], None],
    stop: threading.Event,
) -> None:  # fmt: skip
    """Encode in segments that a later run can go on from, then put all together."""
    encoding, warnings = work.encoding(str(destination))
    report.warnings += warnings
    encoding.encoder()  # what it does not take is said before there is anything
    folder = destination.parent
    if encoding.container == SEQUENCE:  # the pictures' folder is the result
        place = folder.with_name(folder.name or "pictures")
    else:
        place = destination
        check(work.film, encoding, work.options.span)
    remove_leftovers(place.parent)
    mount = mount_point(destination)
    storage = Storage(place, _fingerprint(work, encoding))
    try:
        report.resumed = report.frames = storage.progress.frames
        advance(report.resumed)
        _encode(work, encoding, storage, advance, stop)
        report.frames, report.cuts = storage.progress.frames, storage.progress.cuts
        if stop.is_set():
            report.interrupted = True
            return
        if not report.frames:
            raise InputError("no frame of it lies in the span", "see --start and --duration")
        if encoding.container == SEQUENCE:
            _write_pictures(storage, destination)
        else:
            like = None if work.film.is_pipe or work.film.is_sequence else os.stat(work.film.source)
            span = work.options.span
            with writing(destination, like, mount=mount) as file:
                path = Path(file.name)
                report.warnings += assemble(work.film, encoding, storage, span, path, stop)
        storage.remove()
    except Stopped:
        report.interrupted = True
    finally:
        storage.close()


def _write_pictures(storage: Storage, pattern: Path) -> None:
    """Write the encoded frames as numbered pictures: the first one last, as a sign that all are."""
    first = None
    for number, packet in enumerate(storage.packets(), 1):
        if first is None:
            first = packet.data
        else:
            write_atomic(pattern.with_name(numbered(pattern.name, number)), packet.data)
    assert first is not None
    write_atomic(pattern.with_name(numbered(pattern.name, 1)), first)


def _encode(
    work: _Work, encoding: Encoding, storage: Storage, advance: Callable[[int], None],
    stop: threading.Event,
) -> None:  # fmt: skip
    """Encode what is not done yet, segment by segment."""
    done = storage.progress
    if done.smoother:
        work.smoother.state, work.smoother.cuts = done.smoother, done.cuts
    shots = work.frames(done.last, encoding.pixel_format)
    try:
        while not stop.is_set():
            segment = _Segment(encoding, storage, work.film.info.time_base, work.options.span)
            try:
                for shot in islice(shots, SEGMENT):
                    segment.add(shot)
                    advance(1)
                    if stop.is_set():
                        break
                if not segment.frames:
                    return
                segment.commit()
            finally:
                segment.close()
    finally:
        shots.close()  # type: ignore[attr-defined]


class _Segment:
    """Some seconds of the result, with an encoder of their own."""

    def __init__(self, encoding: Encoding, storage: Storage, base: Fraction, span: Span) -> None:
        self._encoder = encoding.encoder()
        self._storage = storage
        self._file: BinaryIO = storage.new_segment()
        self._base, self._ticks = base, encoding.time_base
        self._shift = round(span.start / base)
        self._durations: dict[int, int] = {}
        self._done = storage.progress
        self._last: int | None = None
        self._shot: _Shot | None = None
        self._time: int | None = None
        self.frames = 0

    def add(self, shot: _Shot) -> None:
        """Encode one frame."""
        frame = shot.frame
        self._time = shot.ticks
        ratio = self._base / self._ticks
        ticks = round((shot.ticks - self._shift) * ratio)
        if self._last is not None and ticks <= self._last:
            ticks = self._last + 1  # the result has coarser ticks
        self._durations[ticks] = max(round(frame.duration * ratio), 0)
        frame.pts, frame.time_base = ticks, self._ticks
        self._last, self._shot = ticks, shot
        self.frames += 1
        self._keep(frame)

    def _keep(self, frame: av.VideoFrame | None) -> None:
        """Give the encoder a frame, or None at the end, and store what comes out."""
        try:
            packets = self._encoder.encode(frame)
        except av.error.FFmpegError as error:
            raise OutputError(
                f"a frame cannot be encoded: {error.strerror or error}", "try another --codec"
            ) from error
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            stored = StoredPacket(packet.pts, duration, packet.is_keyframe, bytes(packet))
            self._storage.write(self._file, stored)

    def commit(self) -> None:
        """Encode what the encoder still holds, and count the segment as done."""
        assert self._shot is not None
        self._keep(None)
        state, cuts = self._shot.smoother
        progress = Progress(
            segments=self._done.segments + 1,
            frames=self._done.frames + self.frames,
            cuts=cuts,
            last=self._time,
            smoother=state,
        )
        self._storage.commit(self._file, progress)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # what could not be written has been told
            self._file.close()


def _stream(
    work: _Work, report: FilmReport, advance: Callable[[int], None], stop: threading.Event
) -> None:
    """Write a YUV4MPEG2 stream to standard output, as the frames come."""
    encoding, warnings = work.encoding("-")
    report.warnings += warnings
    assert encoding.container == STREAM
    layout = av.VideoFormat(encoding.pixel_format, 16, 16)
    sampling = encoding.pixel_format.removeprefix("yuv").removesuffix("le")
    sampling = {"420p": "420jpeg", "422p": "422", "444p": "444"}.get(sampling, sampling)
    aspect = encoding.pixel_aspect or Fraction(0, 1)
    order = "p" if not encoding.field_order else ("t" if work.film.info.top_first else "b")
    ranges = " XCOLORRANGE=FULL" if encoding.colors[3] == 2 else ""
    head = (
        f"YUV4MPEG2 W{encoding.size.width} H{encoding.size.height} "
        f"F{encoding.rate.numerator}:{encoding.rate.denominator} I{order} "
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0} C{sampling}{ranges}\n"
    )
    shots = work.frames(None, encoding.pixel_format)
    try:
        for shot in shots:
            if not report.frames:
                write_stdout(head.encode())
            planes = [plane(shot.frame, index) for index in range(len(layout.components))]
            write_stdout(b"FRAME\n" + b"".join(p.tobytes() for p in planes))
            report.frames += 1
            advance(1)
            if stop.is_set():
                report.interrupted = True
                return
    finally:
        shots.close()  # type: ignore[attr-defined]
    report.cuts = work.smoother.cuts
    if not report.frames:
        raise InputError("no frame of it lies in the span", "see --start and --duration")


def _fingerprint(work: _Work, encoding: Encoding) -> str:
    """Return what a segment of an earlier run must have in common with those of this one."""
    film, options = work.film, work.options
    if film.is_pipe:  # which nobody can go back in
        identity: Any = os.urandom(16).hex()
    elif film.is_sequence:
        identity = os.path.abspath(film.source)
    else:
        status = os.stat(film.source)
        identity = (os.path.abspath(film.source), status.st_size, status.st_mtime_ns)
    manifest = asdict(work.manifest)
    told = {
        "source": identity,
        "encoding": encoding,
        "options": options,
        "info": film.info,
        "model": manifest,
        "versions": (metadata.version("recolor-cli"), av.__version__),
    }
    return hashlib.blake2b(json.dumps(told, default=str).encode(), digest_size=16).hexdigest()
