"""One picture's way: read, recolor, encode, write, write its sidecar files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

from recolor_cli.batch.job import STREAM, Job
from recolor_cli.batch.network_sidecars import NetworkSidecars
from recolor_cli.batch.outcome import Outcome, Status, failed_unexpectedly
from recolor_cli.batch.output_options import OutputOptions
from recolor_cli.batch.sidecar_names import outdated_sidecars
from recolor_cli.batch.skip_rule import MissingOutputs
from recolor_cli.color.gray_detection import detect_gray
from recolor_cli.errors import DamagedError, RecolorError
from recolor_cli.image.compare import Thumbnails, draw_comparison, thumbnails
from recolor_cli.image.decode import decode_pages, to_8_bits
from recolor_cli.image.decoded_image import DecodedImage
from recolor_cli.image.encode import ImageEncoding, encode_all, encode_to_file, record_provenance
from recolor_cli.image.failures import page_errors
from recolor_cli.image.formats import ImageFormat
from recolor_cli.image.probe import Header, probe
from recolor_cli.image.provenance import Provenance, digest_of_data
from recolor_cli.image.unsupported import check_format
from recolor_cli.recolorizer import Recolorizer, StageTimings, check_fit
from recolor_cli.system.files import back_up, mount_point, read_pipe
from recolor_cli.system.places import is_address
from recolor_cli.system.storage import read, remove, write, writing
from recolor_cli.system.stores import addresses_with
from recolor_cli.terminal.streams import stdin, write_stdout
from recolor_cli.types import AnyRgbImage, ImageSize

_HAS_COLOR = "it has color of its own"

_Pages = Iterator[tuple[DecodedImage, AnyRgbImage]]  # each page with its new pixels


class Budget(Protocol):
    """The memory that all pictures at work share."""

    def reserve(self, needed: int) -> AbstractContextManager[None]:
        """Hold so many bytes while a block runs; raises as `MemoryBudget.acquire`."""
        ...


class PictureWork:
    """Makes the outputs of one job after the other; may be called from several threads.

    Parameters
    ----------
    recolorizer : Recolorizer
    options : OutputOptions
    budget : Budget
    given : bytes or None
        The picture of all jobs, in place of their files and of standard input. Results that would
        go to standard output are in the outcomes then.
    """

    def __init__(
        self,
        recolorizer: Recolorizer,
        options: OutputOptions,
        budget: Budget,
        given: bytes | None = None,
    ) -> None:
        self._recolorizer = recolorizer
        self._options = options
        self._budget = budget
        self._given = given
        out = options.out
        is_on_disk = out is not None and out != STREAM and not is_address(out)
        self._mount = mount_point(Path(out)) if out and is_on_disk else None

    def __call__(self, job: Job, missing: MissingOutputs) -> Outcome:
        """Make the missing outputs of a job. Errors are in the outcome, so that others go on."""
        attempt = _Attempt(job, missing)
        try:
            make = self._recolor if missing.needs_network else self._compare_only
            outcome = make(attempt)
        except DamagedError as error:
            advice = f"{error.hint}; --damaged keep recolors what is left of it"
            outcome = Outcome(job, Status.FAILED, DamagedError(error.message, advice))
        except RecolorError as error:
            outcome = Outcome(job, Status.FAILED, error)
        except Exception as error:  # a bug must not stop 100,000 other pictures
            outcome = failed_unexpectedly(job, error)
        return replace(outcome, written=tuple(attempt.written))

    def _recolor(self, attempt: _Attempt) -> Outcome:
        """Read, recolor, encode and write one picture and its sidecar files.

        Pages are recolored one by one, while they are encoded.
        """
        options, timings = self._options, attempt.timings
        job, missing = attempt.job, attempt.missing
        picture = _read(job, missing, options, self._given)
        picture.header.check_pixels(options.max_pixels)
        if self._recolorizer.options.names_places:
            check_fit(picture.header.displayed_size(), self._recolorizer.options)
        extra = NetworkSidecars(self._recolorizer, options)
        outdated = _outdated_sidecars(job, missing, options.overwrite)
        with self._budget.reserve(picture.header.memory):
            timings.lap("read")
            pages = _recolor_pages(picture, extra, timings)
            if options.if_gray and not self._is_gray(picture):
                if job.destination != STREAM:
                    return Outcome(job, Status.SKIPPED, reason=_HAS_COLOR)
                picture.warnings[f"{_HAS_COLOR} and is passed on with it"] = None
                pages = ((page, page.rgb) for page in picture.pages())
            if not missing.result:
                _predict_pages(picture.pages(), extra, timings)
            elif _is_written_page_by_page(job, picture.encoding):
                with self._open_result(attempt, picture) as file:
                    encode_to_file(pages, picture.encoding, file)
            else:
                picture.result = encode_all(pages, picture.encoding)
                timings.lap("encode")
                self._write(attempt, picture)
        self._write_network_sidecars(attempt, picture, extra)
        timings.lap("write")
        small = self._write_comparison(attempt, picture)
        for path in outdated:
            picture.warnings[f"{path} is of an earlier run; remove it, or make it anew"] = None
        return Outcome(
            job,
            Status.WRITTEN if missing.result else Status.SKIPPED,
            size=picture.size,
            seconds=timings.seconds,
            warnings=tuple(picture.warnings),
            is_damaged=picture.is_damaged,
            thumbnails=small,
            entropy=extra.entropy,
            result=b"" if self._given is None else picture.result,
        )

    def _compare_only(self, attempt: _Attempt) -> Outcome:
        """Leave the result as it is and make what needs only it and the picture."""
        picture = _read(attempt.job, attempt.missing, self._options, self._given)
        small = self._write_comparison(attempt, picture)
        return Outcome(attempt.job, Status.SKIPPED, thumbnails=small)

    def _is_gray(self, picture: _Picture) -> bool:
        """Tell whether the first page is gray, or has gray parts if only these are recolored."""
        seen = detect_gray(to_8_bits(picture.first_page()).rgb)
        only_parts = self._recolorizer.options.only_gray
        return seen.has_gray_parts if only_parts else seen.is_monochrome

    def _write(self, attempt: _Attempt, picture: _Picture) -> None:
        job = attempt.job
        if job.destination == STREAM:
            if self._given is None:
                write_stdout(picture.result)
            attempt.written.append(STREAM)
            return
        if job.backup:
            back_up(Path(job.destination), Path(job.backup), picture.data)
        with self._open_result(attempt, picture) as file:
            file.write(picture.result)

    @contextmanager
    def _open_result(self, attempt: _Attempt, picture: _Picture) -> Iterator[BinaryIO]:
        """Open the destination so that it is written whole or not at all."""
        path = attempt.job.destination
        with writing(path, picture.status, self._options.preserve_times, self._mount) as file:
            yield file
            # If the run ends before the new ones are written, the next run makes them.
            _remove(attempt.missing.sidecars)
        attempt.written.append(path)

    def _write_network_sidecars(
        self, attempt: _Attempt, picture: _Picture, extra: NetworkSidecars
    ) -> None:
        job, paths = attempt.job, attempt.missing.network_sidecars
        if not paths:
            return
        with _sidecars_are_named(job), self._budget.reserve(picture.header.memory):
            _remove(paths)  # so that no set of two makings can remain
            try:
                # Decoded anew for each variant, so that one page is in memory at a time.
                made = extra.encode(
                    job.destination, picture.pages, picture.encoding, picture.provenance
                )
                for path, content in made:
                    write(path, content, picture.status)
            except BaseException:
                _remove(paths)  # all of the set or none
                raise
            attempt.written += paths

    def _write_comparison(self, attempt: _Attempt, picture: _Picture) -> Thumbnails | None:
        """Write the sidecar files that show before and after; return thumbnails, if wanted."""
        job, paths = attempt.job, attempt.missing.comparison_sidecars
        if not (paths or self._options.thumbnails):
            return None
        after = picture.result or read(job.destination)[0]
        small = None
        header = picture.header
        memory = header.memory if paths else header.source_memory
        with _sidecars_are_named(job), self._budget.reserve(2 * memory):
            for path in paths:
                image_format = ImageFormat.of_suffix(Path(path).suffix) or ImageFormat.PNG
                data = draw_comparison(picture.data, after, image_format, self._options.quality)
                write(path, data, picture.status)
                attempt.written.append(path)
            if self._options.thumbnails:
                small = thumbnails(picture.data, after)
        attempt.timings.lap("compare")
        return small


@dataclass
class _Attempt:
    """A job, its outputs that are to be made, and what was made so far."""

    job: Job
    missing: MissingOutputs
    timings: StageTimings = field(default_factory=StageTimings)
    written: list[str] = field(default_factory=list)  # paths


@dataclass
class _Picture:
    """A picture's file, its encoded result, and facts that show while its pages are decoded."""

    data: bytes
    status: os.stat_result | None  # of a file
    header: Header
    encoding: ImageEncoding  # of the result
    provenance: Provenance | None  # of the result
    keep_damaged: bool = False
    result: bytes = b""  # encoded, unless its pages were written one by one
    size: ImageSize | None = None  # of the first page
    warnings: dict[str, None] = field(default_factory=dict)  # in order, each once
    is_damaged: bool = False
    _begun: Iterator[DecodedImage] | None = None  # pages of which `first_page` decoded one

    def first_page(self) -> DecodedImage:
        """Decode the first page, which `pages` then gives without decoding it again."""
        self._begun = self._decode()
        first = next(self._begun)
        self._begun = chain([first], self._begun)
        return first

    def pages(self) -> Iterator[DecodedImage]:
        """Decode the pages or frames, each when it is asked for."""
        begun, self._begun = self._begun, None
        for page in begun or self._decode():
            self.size = self.size or page.size
            self.warnings |= dict.fromkeys(page.warnings)
            self.is_damaged |= bool(page.damage)
            yield page

    def _decode(self) -> Iterator[DecodedImage]:
        return decode_pages(self.data, self.encoding.format, self.header, self.keep_damaged)


def _read(
    job: Job, missing: MissingOutputs, options: OutputOptions, given: bytes | None
) -> _Picture:
    """Read a picture's file and its header; where the result has its name, that of the backup."""
    path = job.source if missing.result or not job.backup else job.backup
    status = None
    if given is not None:
        check_format(given)
        data = given
    elif path == STREAM:
        data = read_pipe(stdin(), check_format)
    else:
        data, status = read(path, check_format)
    # Stdout, or a name without a known ending, takes the source's format.
    target = options.format or ImageFormat.of_suffix(Path(job.destination).suffix)
    header = probe(data, target)
    run = options.provenance_for(target or header.reader.codec.format)
    return _Picture(
        data=data,
        status=status,
        header=header,
        encoding=ImageEncoding(target, options.quality, options.source_profile),
        provenance=run and run.of_source(job.source, digest_of_data(data)),
        keep_damaged=options.keep_damaged,
    )


def _recolor_pages(picture: _Picture, extra: NetworkSidecars, timings: StageTimings) -> _Pages:
    """Recolor the pages or frames of a file, each when it is asked for."""
    for number, page in enumerate(picture.pages(), 1):
        timings.lap("decode")
        with _page_errors(number, page):
            new = extra.recolor(page, timings)
        if number == 1:  # it speaks for all pages or frames
            page = record_provenance(page, picture.provenance, picture.encoding)
            picture.warnings |= dict.fromkeys(page.warnings)
        yield page, new
        timings.lap("encode")  # of this page, where they are encoded one by one


def _predict_pages(
    pages: Iterator[DecodedImage], extra: NetworkSidecars, timings: StageTimings
) -> None:
    """Run the network for the sidecar files, without painting the result."""
    for number, page in enumerate(pages, 1):
        timings.lap("decode")
        with _page_errors(number, page):
            extra.predict(page, timings)


def _page_errors(number: int, page: DecodedImage) -> AbstractContextManager[None]:
    """Name the page or frame in errors, if there are several."""
    count, noun = (page.animation.frames, "frame") if page.animation else (page.pages, "page")
    return page_errors(number, count, noun)


def _is_written_page_by_page(job: Job, encoding: ImageEncoding) -> bool:
    """Tell whether pages are written one by one, because all of a TIFF may not fit into memory."""
    is_tiff = encoding.format is ImageFormat.TIFF
    # A backup is made only when all pages are known to be good.
    return is_tiff and job.destination != STREAM and not job.backup


def _outdated_sidecars(job: Job, missing: MissingOutputs, overwrite: bool) -> list[str]:
    """Return the sidecar files that would remain of an earlier result of this job."""
    place = job.destination
    # In place, the destination is the picture, and its neighbors may be pictures.
    if job.backup or place == STREAM:
        return []
    if is_address(place):
        if missing.result and not overwrite:  # no result, and no need to ask the store
            return []
        there = addresses_with(os.path.splitext(place)[0])
        return outdated_sidecars(place, missing.sidecars, missing.result, there.__contains__)
    if not os.path.exists(place):
        return []
    return outdated_sidecars(place, missing.sidecars, missing.result)


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        remove(path)


@contextmanager
def _sidecars_are_named(job: Job) -> Iterator[None]:
    """Say in errors that the result exists and that a sidecar file of it failed."""
    try:
        yield
    except RecolorError as error:
        raise type(error)(
            f"{job.destination} is there, but a sidecar file of it is not: {error.message}",
            error.hint,
            error.cause,
        ) from error
