"""Frames in, recolored frames out: decoding, network, smoothing and painting side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import av
import numpy as np

from recolor_cli.color.refinement import refine
from recolor_cli.model.color_network import ColorNetwork
from recolor_cli.recolorizer import predict_ab
from recolor_cli.system.device import cpu_count
from recolor_cli.system.prefetch import ordered_parallel_map, prefetch
from recolor_cli.types import FloatArray
from recolor_cli.video.film_options import FilmOptions
from recolor_cli.video.film_reader import FilmReader
from recolor_cli.video.frames import (
    FrameGeometry,
    copy_planes,
    ensure_luma_plane,
    paint_frame,
    preview_frame,
    read_coding,
    view_plane,
)
from recolor_cli.video.temporal_smoothing import SmootherState, TemporalSmoother

_CUDA_BATCH = 16  # frames
_PREFETCH_DEPTH = 4  # frames


@dataclass(slots=True)
class PipelineFrame:
    """A frame on its way through the pipeline."""

    frame: av.VideoFrame  # as decoded; painted by the last stage
    ticks: int  # time in the source
    canvas: FloatArray  # L* of the stored canvas, shape (H, W)
    ab: FloatArray | None = None  # prediction for the stored canvas, shape (h, w, 2)
    smoother_state: SmootherState | None = None  # after this frame
    cuts: int = 0  # up to this frame


class FramePipeline:
    """The stages that recolor the frames of one film, each in threads of its own."""

    def __init__(self, film: FilmReader, network: ColorNetwork, options: FilmOptions) -> None:
        self.film, self.options, self._network = film, options, network
        self.manifest = network.manifest
        self.smoother = TemporalSmoother(options.temporal_smoothing, options.scene_threshold)
        info = film.info
        # All frames of the film have the coding of this empty one.
        empty = av.VideoFrame(info.size.width, info.size.height, info.pixel_format)
        empty.colorspace, empty.color_range = info.colors[2:]
        self.coding = read_coding(ensure_luma_plane(empty))
        aspect = float(info.pixel_aspect or 1)
        self.geometry = FrameGeometry.fit(info.size, aspect, info.rotation, self.manifest)
        self.smoother.inside = self.geometry.inside

    def frames(self, after: int | None, pixel_format: str) -> Iterator[PipelineFrame]:
        """Yield the painted frames of the span that are later than a tick, in this pixel format."""
        on_cuda, cpus = self._network.device != "cpu", cpu_count()
        decoded = prefetch(self._decode(after), _PREFETCH_DEPTH)
        batches = _group(decoded, _CUDA_BATCH if on_cuda else 1)
        predicted = ordered_parallel_map(self._predict, batches, 2 if on_cuda else cpus)
        smoothed = prefetch(self._smooth(predicted), _PREFETCH_DEPTH)
        return ordered_parallel_map(lambda item: self._paint(item, pixel_format), smoothed, cpus)

    def _decode(self, after: int | None) -> Iterator[PipelineFrame]:
        """Decode the frames of the span and make the network's canvas of each."""
        base, span = self.film.info.time_base, self.options.span
        film_start = self.film.info.start
        if after is None and span.start:
            after = math.floor((span.start + film_start) / base) - 1
        for ticks, frame in self.film.frames(after):
            moment = float(ticks * base) - film_start
            if not span.is_all:
                if span.end is not None and moment >= span.end:
                    return
                if not span.holds(moment):
                    continue
            frame = ensure_luma_plane(frame)
            canvas = self.geometry.stored_canvas(
                view_plane(frame, 0), read_coding(frame), self.manifest.pad_lightness
            )
            yield PipelineFrame(frame, ticks, canvas)

    def _predict(self, items: list[PipelineFrame]) -> list[PipelineFrame]:
        """Run the network on a batch of frames."""
        canvases = [self.geometry.rotate_upright(item.canvas) for item in items]
        tensor = np.stack(canvases)[:, None]
        prediction = predict_ab(self._network, tensor, self.options.recolor)
        for item, ab in zip(items, prediction.transpose(0, 2, 3, 1), strict=True):
            item.ab = self.geometry.rotate_to_stored(ab)
            if self.manifest.refined:
                item.ab = refine(item.ab, item.canvas, self.geometry.inside)
        return items

    def _smooth(self, batches: Iterable[list[PipelineFrame]]) -> Iterator[PipelineFrame]:
        """Smooth over time. Only this stage needs the frames in order."""
        for item in chain.from_iterable(batches):
            assert item.ab is not None
            item.ab = self.smoother.smooth(item.canvas, item.ab)
            item.smoother_state, item.cuts = self.smoother.state, self.smoother.cuts
            yield item

    def _paint(self, item: PipelineFrame, pixel_format: str) -> PipelineFrame:
        """Color a frame; for a preview, put the original to its left."""
        assert item.ab is not None
        before = copy_planes(item.frame, pixel_format) if self.options.preview else None
        item.frame = paint_frame(item.frame, item.ab, self.geometry, pixel_format)
        if before:
            item.frame = preview_frame(before, item.frame)
        return item


def _group(items: Iterable[PipelineFrame], size: int) -> Iterator[list[PipelineFrame]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
