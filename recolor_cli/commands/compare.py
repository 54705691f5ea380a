"""`recolor compare`: some pictures by several models, on one page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from recolor_cli.commands.completers import model_names
from recolor_cli.commands.options import (
    SETTINGS,
    device_option,
    exclude_option,
    inputs_argument,
    quiet_option,
    recursive_option,
    strength_option,
    temperature_option,
)
from recolor_cli.commands.report import load_network, version_of
from recolor_cli.errors import ExitCode, InputError, RecolorError, UsageError
from recolor_cli.system.texts import counted

if TYPE_CHECKING:
    from recolor_cli.batch.job import Job
    from recolor_cli.gallery.comparison import ComparisonPage
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.terminal.console import Console
    from recolor_cli.types import RgbImage

_COUNT = 24  # pictures


@click.command(context_settings=SETTINGS)
@inputs_argument(required=True)
@click.option(
    "-m",
    "--model",
    "models_",
    shell_complete=model_names,
    multiple=True,
    metavar="NAME",
    help="A name, an .onnx or .toml file; two or more.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The page. [comparison.html, here]",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT,
    show_default=True,
    metavar="N",
    help="Show so many pictures of all that are named, evenly spread.",
)
@recursive_option
@exclude_option
@temperature_option
@strength_option
@device_option
@quiet_option
def compare(
    inputs: tuple[str, ...],
    models_: tuple[str, ...],
    out: Path | None,
    count: int,
    recursive: bool,
    exclude: tuple[str, ...],
    temperature: float | None,
    strength: float,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Show pictures as several models color them, to choose one for all.

    \b
    recolor compare posters/ -m poster -m ddcolor

    The page has a row for each picture and a column for each model. Results are not written.
    """  # noqa: D301
    from recolor_cli.gallery.comparison import NAME, ComparedModel, ComparisonPage
    from recolor_cli.guidance.recolor_options import RecolorOptions
    from recolor_cli.model.preflight import check_model
    from recolor_cli.terminal.console import Console

    if len(dict.fromkeys(models_)) < 2:
        raise UsageError(
            "there is nothing to compare: name two models or more",
            "-m poster -m NAME; `recolor models` lists them",
        )
    console = Console(quiet)
    models = list(dict.fromkeys(models_))
    for model in models:  # before the first one has worked for long
        check_model(model, device)
    path = out or Path(NAME)
    comparison = _Comparison(ComparisonPage(path), console)
    comparison.add_pictures(_choose(inputs, recursive, exclude, count, console))
    options = RecolorOptions(temperature, strength)
    given = _as_words(recursive, exclude, options)
    columns = []
    with console.progress(len(comparison.pictures) * len(models), "pictures", "recoloring") as bar:
        for number, model in enumerate(models):
            seconds = comparison.add_results(number, model, options, device, bar.advance)
            # With `run`, because an input may have the name of a command.
            command = shlex.join(["recolor", "run", *inputs, *given, "-m", model, "-o", "new"])
            columns.append(ComparedModel(Path(model).name, f"{seconds:.2f} s a picture", command))
    comparison.page.write(columns, _describe(len(comparison.pictures), options))
    if not quiet:
        console.data(str(path))
    return ExitCode.SOME_FAILED if comparison.failed else ExitCode.OK


class _Comparison:
    """Puts pictures and results on the page, and reports what cannot be read or recolored."""

    def __init__(self, page: ComparisonPage, console: Console) -> None:
        self.page = page
        self.pictures: dict[int, str] = {}  # paths by the numbers that they have on the page
        self.failed = 0
        self._console = console

    def add_pictures(self, jobs: Sequence[Job]) -> None:
        """Add the pictures that can be read.

        Raises
        ------
        InputError
            If there is none.
        """
        from recolor_cli.image.compare import draw_thumbnail

        for job in jobs:
            try:
                if job.error:
                    raise job.error
                rgb = _read(job.source)
            except RecolorError as error:
                self._report(job.source, error)
                continue
            self.pictures[self.page.add_picture(job.source, draw_thumbnail(rgb))] = job.source
        if not self.pictures:
            raise InputError("none of the pictures can be read", "name others")

    def add_results(
        self,
        number: int,
        model: str,
        options: RecolorOptions,
        device: str,
        advance: Callable[[], None],
    ) -> float:
        """Add the results of one model, and return its seconds a picture."""
        from recolor_cli.image.compare import draw_thumbnail
        from recolor_cli.recolorizer import Recolorizer

        # One network at a time is in memory.
        recolorizer = Recolorizer(load_network(model, device, 1, self._console), options)
        seconds = []
        for picture, source in self.pictures.items():
            try:
                rgb = _read(source)
                started = time.perf_counter()
                result = recolorizer.recolor(rgb)
                seconds.append(time.perf_counter() - started)
                self.page.add_result(picture, number, draw_thumbnail(result))
            except RecolorError as error:
                self._report(f"{source} by {model}", error)
            advance()
        return sum(seconds) / max(len(seconds), 1)

    def _report(self, name: str, error: RecolorError) -> None:
        self.failed += 1
        self._console.error(f"{name}: {error.message}", error.hint)


def _choose(
    inputs: Sequence[str],
    recursive: bool,
    exclude: tuple[str, ...],
    count: int,
    console: Console,
) -> list[Job]:
    """Return some of the inputs, evenly spread over all that are no unsupported files."""
    from recolor_cli.batch.job import is_stream
    from recolor_cli.batch.output_options import OutputOptions
    from recolor_cli.batch.plan import plan
    from recolor_cli.system.compact import CompactList

    if any(is_stream(name) for name in inputs):
        raise UsageError("standard input cannot be compared", "name a file or a folder")
    found = plan(inputs, recursive, OutputOptions(exclude=exclude))
    jobs = CompactList(job for job in found if not job.is_unsupported)
    if left_out := len(found) - len(jobs):
        console.warn(f"left out: {counted(left_out, 'file')} of formats that cannot be read")
    count = min(count, len(jobs))
    return [jobs[number * len(jobs) // count] for number in range(count)]


def _as_words(recursive: bool, exclude: tuple[str, ...], options: RecolorOptions) -> list[str]:
    """Return the options with which the whole batch gets the colors that the page shows."""
    words = ["-r"] if recursive else []
    for pattern in exclude:
        words += ["--exclude", pattern]
    if options.temperature is not None:
        words += ["--temperature", f"{options.temperature:g}"]
    if options.strength != 1:
        words += ["--strength", f"{options.strength:g}"]
    return words


def _read(source: str) -> RgbImage:
    """Return the first page of a picture, uint8 (H, W, 3)."""
    from recolor_cli.image.decode import decode
    from recolor_cli.system.storage import read

    return cast("RgbImage", decode(read(source)[0]).rgb)


def _describe(count: int, options: RecolorOptions) -> str:
    return (
        f"{counted(count, 'picture')}; temperature {options.temperature or 'as the model has it'}, "
        f"strength {options.strength:g}; recolor {version_of('recolor-cli')}."
    )
