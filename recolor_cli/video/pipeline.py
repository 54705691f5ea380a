"""Frames in, recolored frames out: decoding, network, smoothing and painting side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice

import av

from recolor_cli.color.gray_detection import Grayness
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.system.device import cpu_count
from recolor_cli.system.prefetch import ordered_parallel_map, prefetch
from recolor_cli.types import FloatArray
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.frame_predictor import PALETTE_FRAMES, FramePredictor
from recolor_cli.video.frame_samples import frames_in_span, sample_frames
from recolor_cli.video.frames import (
    FrameGeometry,
    ShareOfFrame,
    copy_planes,
    ensure_luma_plane,
    paint_frame,
    preview_frame,
    read_coding,
    view_plane,
)
from recolor_cli.video.own_color import OwnColor, ShotGrayness, measure_grayness
from recolor_cli.video.references import ReferenceColors, ReferenceMatch
from recolor_cli.video.temporal_smoothing import SmootherState, TemporalSmoother

_CUDA_BATCH = 16  # frames
_PREFETCH_DEPTH = 4  # frames
# Factor of the smoothing's alpha: a palette amplifies flicker, and needs twice as many frames.
_STEERED_ALPHA = 0.5
_STILLS = "stills"  # name of the state of `ReferenceColors`


@dataclass(slots=True)
class PipelineFrame:
    """A frame on its way through the pipeline."""

    frame: av.VideoFrame  # as decoded; painted by the last stage
    canvas: FloatArray  # L* of the stored canvas, shape (H, W)
    ticks: int  # time in the source
    ab: FloatArray | None = None  # prediction for the stored canvas, shape (h, w, 2)
    matches: list[ReferenceMatch] = field(default_factory=list)  # one for each still
    grayness: Grayness | None = None  # of the frame, then of its shot
    cuts: int = 0  # up to this frame
    state: dict[str, FloatArray] = field(default_factory=dict)  # of the pipeline after this frame


class FramePipeline:
    """The stages that recolor the frames of one film, each in threads of its own."""

    def __init__(self, film: FilmReader, network: ColorNetwork, options: FilmOptions) -> None:
        self.film, self.options = film, options
        self._on_cuda = network.device != "cpu"
        self.manifest = network.manifest
        alpha = options.temporal_smoothing * (_STEERED_ALPHA if options.recolor.steering else 1)
        self.smoother = TemporalSmoother(alpha, options.scene_threshold)
        info = film.info
        # All frames of the film have the coding of this empty one.
        empty = av.VideoFrame(info.size.width, info.size.height, info.pixel_format)
        empty.colorspace, empty.color_range = info.colors[2:]
        self.coding = read_coding(ensure_luma_plane(empty))
        aspect = float(info.pixel_aspect or 1)
        self.geometry = FrameGeometry.fit(info.size, aspect, info.rotation, self.manifest)
        self.smoother.inside = self.geometry.inside
        self._predictor = FramePredictor(network, self.geometry, options.recolor)
        # Stills are compared by the network's own color, because a palette amplifies its noise.
        self._own_predictor = self._predictor
        if options.recolor.steering:
            unsteered = replace(options.recolor, steering=None)
            self._own_predictor = FramePredictor(network, self.geometry, unsteered)
        self._own_color = OwnColor(options.recolor, self.geometry)
        self._references: ReferenceColors | None = None
        self._shares_of_stills: FloatArray | None = None  # of an earlier run
        self._shot_grayness = ShotGrayness()

    def restore(self, state: dict[str, FloatArray], cuts: int) -> None:
        """Continue behind a frame of an earlier run, with the state that it left."""
        state = dict(state)
        self.smoother.state = SmootherState(*(state.pop(name) for name in SmootherState._fields))
        self.smoother.cuts = cuts
        self._shares_of_stills = state.pop(_STILLS, None)
        self._shot_grayness.state = state

    def frames(self, after: int | None, pixel_format: str) -> Iterator[PipelineFrame]:
        """Yield the painted frames of the span that are later than a tick, in this pixel format."""
        cpus = cpu_count()
        frames = self._decode(after)
        if self._predictor.needs_fit:
            frames = self._fit_palette(frames)
        if self.options.references:
            self._open_references()
        decoded = prefetch(frames, _PREFETCH_DEPTH)
        batches = _group(decoded, _CUDA_BATCH if self._on_cuda else 1)
        predicted = ordered_parallel_map(self._predict, batches, 2 if self._on_cuda else cpus)
        smoothed = prefetch(self._smooth(predicted), _PREFETCH_DEPTH)
        return ordered_parallel_map(lambda item: self._paint(item, pixel_format), smoothed, cpus)

    def _fit_palette(self, frames: Iterator[PipelineFrame]) -> Iterator[PipelineFrame]:
        """Fit the palette to frames from all parts of the span; return the frames unchanged.

        A pipe cannot be read ahead so far; there, the first frames count.
        """
        if self.film.is_pipe:
            first = list(islice(frames, PALETTE_FRAMES))
            canvases, frames = [item.canvas for item in first], chain(first, frames)
        else:
            canvases = sample_frames(
                self.film, self.options.span, PALETTE_FRAMES, lambda frame: self._canvas(frame)[1]
            )
        if canvases:
            self._predictor.fit_palette(canvases)
        return frames

    def _open_references(self) -> None:
        """Read the stills, and check that they show the film, unless it comes from a pipe."""
        info = self.film.info
        references = ReferenceColors(
            self.options.references,
            self.geometry,
            self._own_predictor,
            self.manifest.pad_lightness,
        )
        for index, reference in enumerate(references.references):
            if not self.film.is_pipe:
                # Half a frame earlier, because times are written with few decimals.
                moment = reference.time + info.start - 0.5 / float(info.rate)
                frames = self.film.frames(math.floor(moment / info.time_base))
                found = next(frames, None)
                references.check_frame(index, found and self._canvas(found[1])[1])
        if self._shares_of_stills is not None:
            references.state = self._shares_of_stills
        self._references = references

    def _decode(self, after: int | None) -> Iterator[PipelineFrame]:
        """Decode the frames of the span and make the network's canvas of each."""
        for ticks, frame in frames_in_span(self.film, self.options.span, after):
            yield PipelineFrame(*self._canvas(frame), ticks)

    def _canvas(self, frame: av.VideoFrame) -> tuple[av.VideoFrame, FloatArray]:
        """Return a frame with a luma plane, and L* of its stored canvas."""
        frame = ensure_luma_plane(frame)
        coding, fill = read_coding(frame), self.manifest.pad_lightness
        return frame, self.geometry.stored_canvas(view_plane(frame, 0), coding, fill)

    def _predict(self, items: list[PipelineFrame]) -> list[PipelineFrame]:
        """Run the network on a batch of frames, and compare each with the stills."""
        canvases = [item.canvas for item in items]
        predictions = self._predictor.predict(canvases)
        own = predictions
        if self._references and self._own_predictor is not self._predictor:
            own = self._own_predictor.predict(canvases)
        for item, ab, own_ab in zip(items, predictions, own, strict=True):
            item.ab = ab
            if self._references:
                item.matches = self._references.match(item.canvas, own_ab)
            if self._own_color.only_gray:
                item.grayness = measure_grayness(item.frame)
        return items

    def _smooth(self, batches: Iterable[list[PipelineFrame]]) -> Iterator[PipelineFrame]:
        """Follow the shots, and smooth over time. Only this stage needs the frames in order."""
        for item in chain.from_iterable(batches):
            assert item.ab is not None
            if self._references or item.grayness:
                self._follow_shot(item)
            item.ab = self.smoother.smooth(item.canvas, item.ab)
            assert self.smoother.state
            item.state |= self.smoother.state._asdict()
            item.cuts = self.smoother.cuts
            yield item

    def _follow_shot(self, item: PipelineFrame) -> None:
        """Give the next frame the colors of the stills and the grays of its shot."""
        assert item.ab is not None
        begins_shot = self.smoother.begins_shot(item.canvas)
        if item.grayness:
            item.grayness = self._shot_grayness.update(item.grayness, begins_shot)
            item.state |= self._shot_grayness.state
        if self._references:
            time = float(item.ticks * self.film.info.time_base) - self.film.info.start
            item.ab = self._references.apply(item.ab, item.matches, time, begins_shot)
            item.state[_STILLS] = self._references.state

    def _paint(self, item: PipelineFrame, pixel_format: str) -> PipelineFrame:
        """Color a frame; for a preview, put the original to its left."""
        assert item.ab is not None
        before = copy_planes(item.frame, pixel_format) if self.options.preview else None
        share_of: ShareOfFrame | None = None
        if self._own_color.keeps_any:
            share_of = partial(self._own_color.shares, grayness=item.grayness)
        item.frame = paint_frame(item.frame, item.ab, self.geometry, pixel_format, share_of)
        if before:
            item.frame = preview_frame(before, item.frame)
        return item


def _group(items: Iterable[PipelineFrame], size: int) -> Iterator[list[PipelineFrame]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
