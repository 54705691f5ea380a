"""The work on one picture: read, recolor, write; and threads that do it for several."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2

from recolor_cli.batch.extra_outputs import ExtraOutputs
from recolor_cli.batch.outcome import Outcome, Status, failed_by_bug, not_tried
from recolor_cli.batch.plan import (
    STREAM,
    Job,
    OutputOptions,
    has_result,
    is_done,
    missing_comparison_sidecars,
    missing_network_sidecars,
)
from recolor_cli.color.gray_detection import grayness
from recolor_cli.errors import InputError, OutputError, RecolorError
from recolor_cli.guidance.recolor_options import RecolorOptions
from recolor_cli.image.compare import Thumbnails, draw_comparison, thumbnails
from recolor_cli.image.decode import decode, decode_pages
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode_all, encode_to_file
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.probe import probe
from recolor_cli.image.unsupported import check_format
from recolor_cli.recolorizer import Recolorizer, StageTimings
from recolor_cli.system.device import cpu_count
from recolor_cli.system.files import (
    Source,
    back_up,
    mount_point,
    read,
    read_pipe,
    write_atomic,
    writing,
)
from recolor_cli.system.memory import MemoryBudget, memory_for_pictures
from recolor_cli.terminal.streams import stdin, write_stdout
from recolor_cli.types import AnyRgbImage, ImageSize


class Budget(Protocol):
    """Whoever lets pictures in as memory allows."""

    def reserve(self, needed: int) -> AbstractContextManager[None]:
        """Wait until so many bytes are free, and hold them; raises as `MemoryBudget.reserve`."""
        ...


class PictureWork:
    """Does jobs, one at a time or several in threads.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
    budget : Budget
    """

    def __init__(self, recolorizer: Recolorizer, options: OutputOptions, budget: Budget) -> None:
        self._recolorizer = recolorizer
        self._options = options
        self._budget = budget
        out = options.out
        self._mount = None if out is None or out == STREAM else mount_point(Path(out))

    def __call__(self, job: Job) -> Outcome:
        """Do a job; whatever goes wrong with it is in the outcome."""
        return _do(job, self._recolorizer, self._options, self._budget, self._mount)


class ThreadWorkers:
    """Threads of this process, each with a picture of its own.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
    count : int
        Pictures that are worked on at a time.
    """

    def __init__(self, recolorizer: Recolorizer, options: OutputOptions, count: int) -> None:
        self.count = count
        self._work = PictureWork(recolorizer, options, MemoryBudget(memory_for_pictures()))
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="recolor")

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a job done when a thread is free."""
        return self._pool.submit(self._work, job)

    def stop(self) -> None:
        """Begin nothing more: what is begun is finished, other futures are cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Wait until what is begun is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def share_cpus(count: int) -> int:
    """Divide the CPUs among so many workers: return the threads for each one's network.

    OpenCV's own threads are a setting of the process, which is made here.
    """
    threads = max(1, cpu_count() // count)
    cv2.setNumThreads(threads)
    return threads


def _do(
    job: Job,
    recolorizer: Recolorizer,
    options: OutputOptions,
    budget: Budget,
    mount: Path | None,
) -> Outcome:
    """Do one job; whatever goes wrong is in the outcome, so that the others go on."""
    if job.error:
        return not_tried(job, job.error)
    timings = StageTimings()
    beside = _Beside()
    alternatives = ExtraOutputs(recolorizer, options)
    try:
        if is_done(job, options):
            return _done_before(job, options, budget)
        stays = has_result(job, options)  # but something beside it is missing
        path = job.backup if stays and job.backup else job.source
        source = None if path == STREAM else read(Path(path), check_format)
        data = source.data if source else read_pipe(stdin(), check_format)
        target = options.format or ImageFormat.of_suffix(Path(job.destination).suffix)
        found = probe(data, target)
        if found.pixels > options.max_pixels:
            raise InputError(
                f"it declares {found.pixels / 1e6:,.0f} megapixels, "
                f"more than the {options.max_pixels / 1e6:,.0f} that --max-pixels allows",
                "if it is to be trusted, raise --max-pixels",
            )
        with budget.reserve(found.memory):
            timings.lap("read")
            told = _Told()
            results = _recolored(data, target, alternatives, timings, told)
            if options.if_gray and not _is_gray(data, recolorizer.options):
                if job.destination != STREAM:
                    return Outcome(job, Status.SKIPPED, reason=_HAS_COLOR)
                told.warnings[f"{_HAS_COLOR} and is passed on as it was"] = None
                results = _unchanged(data, target, told)
            # Stdout, or a name without a known ending, takes the source's format.
            encoding = ImageEncoding(target, options.quality, options.source_profile)
            like = source.status if source else None
            beside_it = options.thumbnails or options.compare or stays
            streams = job.destination == STREAM or job.backup or beside_it
            if target is ImageFormat.TIFF and not streams:  # page by page to the disk
                with writing(Path(job.destination), like, options.preserve_times, mount) as file:
                    encode_to_file(results, encoding, file)
                timings.lap("write")
            else:
                encoded = encode_all(results, encoding)
                timings.lap("encode")
                if job.destination == STREAM:
                    write_stdout(encoded)
                elif not stays:
                    if job.backup:
                        back_up(Path(job.destination), Path(job.backup), data)
                    write_atomic(
                        Path(job.destination), encoded, like, options.preserve_times, mount
                    )
        wanted = (
            missing_network_sidecars(job, options)
            if stays
            else options.network_sidecars(job.destination)
        )
        if wanted:
            with budget.reserve(found.memory):
                _write_alternatives(job, data, alternatives, wanted, encoding, source)
        timings.lap("write")
        if options.thumbnails or options.compare:
            encoded = read(Path(job.destination)).data if stays else encoded
            compared = missing_comparison_sidecars(job, options) if stays else None
            beside = _beside(job, data, encoded, options, source, budget, compared)
            timings.lap("compare")
    except RecolorError as error:
        return Outcome(job, Status.FAILED, error)
    except MemoryError:
        advice = "make it smaller, or use fewer --jobs"
        return Outcome(job, Status.FAILED, InputError("there is not enough memory for it", advice))
    except Exception as error:  # a bug; 100,000 other pictures are not to suffer from it
        return failed_by_bug(job, error)
    return Outcome(
        job,
        Status.SKIPPED if stays else Status.WRITTEN,
        size=told.size,
        seconds=timings.seconds,
        warnings=tuple(told.warnings),
        sidecars=(*beside.sidecars, *wanted),
        thumbnails=beside.thumbnails,
        entropy=alternatives.entropy,
    )


def _write_alternatives(
    job: Job,
    data: bytes,
    alternatives: ExtraOutputs,
    wanted: list[str],
    encoding: ImageEncoding,
    source: Source | None,
) -> None:
    """Write what the network thought besides; a picture is not done before all of it is there."""
    try:
        for path, content in alternatives.sidecars(job.destination, wanted, data, encoding):
            write_atomic(Path(path), content, source.status if source else None)
    except RecolorError as error:
        raise _not_beside(job, error) from error


def _not_beside(job: Job, error: RecolorError) -> OutputError:
    message = f"{job.destination} is there, but not what belongs beside it: {error.message}"
    return OutputError(message, error.hint)


def _done_before(job: Job, options: OutputOptions, budget: Budget) -> Outcome:
    """Leave a result as it is, and make what is asked for beside it, from the files."""
    if not (options.thumbnails or missing_comparison_sidecars(job, options)):
        return Outcome(job, Status.SKIPPED)
    source = None if job.source == STREAM else read(Path(job.backup or job.source))
    before = source.data if source else read_pipe(stdin(), check_format)
    after = read(Path(job.destination)).data
    beside = _beside(
        job, before, after, options, source, budget, missing_comparison_sidecars(job, options)
    )
    return Outcome(job, Status.SKIPPED, sidecars=beside.sidecars, thumbnails=beside.thumbnails)


@dataclass(frozen=True)
class _Beside:
    """What was made beside a result."""

    sidecars: tuple[str, ...] = ()
    thumbnails: Thumbnails | None = None


def _beside(
    job: Job,
    before: bytes,
    after: bytes,
    options: OutputOptions,
    source: Source | None,
    budget: Budget,
    wanted: list[str] | None = None,
) -> _Beside:
    """Write what belongs beside a result: all of it, or what is wanted."""
    paths = options.comparison_sidecars(job.destination) if wanted is None else wanted
    small = None
    try:
        with budget.reserve(2 * probe(before).memory):  # both are decoded
            for path in paths:
                image_format = ImageFormat.of_suffix(Path(path).suffix) or ImageFormat.PNG
                data = draw_comparison(before, after, image_format, options.quality)
                write_atomic(Path(path), data, source.status if source else None)
            if options.thumbnails:
                small = thumbnails(before, after)
    except RecolorError as error:
        raise _not_beside(job, error) from error
    return _Beside(tuple(paths), small)


_HAS_COLOR = "it has color of its own"


def _is_gray(data: bytes, options: RecolorOptions) -> bool:
    """Tell whether a file's first picture is gray, or has gray parts if only these are wanted."""
    seen = grayness(decode(data).rgb)
    return seen.has_gray_parts if options.only_gray else seen.is_monochrome


def _unchanged(
    data: bytes, target: ImageFormat | None, told: _Told
) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
    for picture in decode_pages(data, target):
        told.size = told.size or picture.size
        yield picture, picture.rgb


@dataclass
class _Told:
    """What is learnt of a file while its pictures go by."""

    size: ImageSize | None = None  # of the first
    warnings: dict[str, None] = field(default_factory=dict)  # in order, each once


def _recolored(
    data: bytes,
    target: ImageFormat | None,
    alternatives: ExtraOutputs,
    timings: StageTimings,
    told: _Told,
) -> Iterator[tuple[DecodedImage, AnyRgbImage]]:
    """Recolor the pages or frames of a file, each when it is asked for."""
    for picture in decode_pages(data, target):
        timings.lap("decode")
        told.size = told.size or picture.size
        told.warnings |= dict.fromkeys(picture.warnings)
        yield picture, alternatives.recolor(picture, timings)
        timings.lap("encode")  # of the one before, where they are encoded one by one
