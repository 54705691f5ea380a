"""The command line: argv to options to a run to an exit code. Heavy rooms load inside commands."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.errors import (
    ExitCode,
    InputError,
    NoInputsError,
    OutputError,
    RecolorError,
    UsageError,
)

if TYPE_CHECKING:
    from recolor_cli.batch import Outcome
    from recolor_cli.console import Console
    from recolor_cli.network import OnnxColorNetwork
    from recolor_cli.profile import Profile

_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "avif": "AVIF"}
_FORMATS |= {"jp2": "JPEG2000", "gif": "GIF", "bmp": "BMP", "ppm": "PPM"}
_FORMATS |= {"jpeg": "JPEG", "tiff": "TIFF"}
_MEASURED = 240  # pictures that `export` takes a model's figures on, at most
# Figures that `models` lists, and their formats.
_LISTED = (
    ("l2_over_gray", ".2f"),
    ("balanced_auc", ".3f"),
    ("chroma_ratio", ".2f"),
    ("class_ratio", ".2f"),
)
_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "RECOLOR",
    "max_content_width": 100,
}


class _RunByDefault(click.Group):
    """A group whose command ``run`` need not be named: ``recolor poster.jpg``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``run`` unless a command, or help, is asked for; -NAME may be a file."""
        args = [_as_path(argument) for argument in args]
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, context_settings=_SETTINGS, no_args_is_help=True)
@click.version_option(package_name="recolor-cli", prog_name="recolor")
def cli() -> None:
    """Give old film posters and photographs new, believable color.

    \b
    recolor poster.jpg                  writes poster-recolored.jpg
    recolor posters/ -o out/ -r         a tree in, the same tree out; again to resume
    cat poster.jpg | recolor - > new.jpg

    A picture's size, sharpness and lightness stay; only its color is new. `recolor run --help`
    lists the options. A file that has a command's name is given as ./NAME.
    """  # noqa: D301


def _as_path(argument: str) -> str:
    """Return ./-NAME for a file -NAME: a shell's ``*.jpg`` does not know which names look odd."""
    is_file = argument.startswith("-") and "." in argument and Path(argument).is_file()
    return f"./{argument}" if is_file else argument


_device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="auto uses CUDA where it works and says so where it does not; cuda insists.",
)
_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="RECOLOR_JSON",
    help="Print JSON to stdout, one object a line.",
)
_quiet = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
_verbose = click.option("-v", "--verbose", is_flag=True, help="Print more, and tracebacks.")


class _Number(click.FloatRange):
    """A number within limits; unlike click's own it does not let NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as a float, or fail as a usage error."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number", param, ctx)
        return number


@cli.command(context_settings=_SETTINGS)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--out", metavar="OUT", help="Folder, file or - for stdout. [beside the input]")
@click.option("-r", "--recursive", is_flag=True, help="Search folders in depth.")
@click.option("-m", "--model", default="poster", show_default=True, help="A name or an .onnx file.")
@click.option(
    "-T",
    "--temperature",
    type=_Number(0.01, 10),
    help="Lower is more vivid and patchier, higher calmer. [the model's own]",
)
@click.option(
    "--strength",
    type=_Number(0, 3),
    default=1.0,
    show_default=True,
    help="Factor on the color; 0 is gray.",
)
@_device
@click.option("--suffix", help="Added to the name. [-recolored; nothing with -o FOLDER]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(_FORMATS), case_sensitive=False),
    metavar="jpg|png|webp|tif|avif|jp2|gif|bmp|ppm",
    envvar="RECOLOR_FORMAT",
    help="[the input's]",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    show_default=True,
    help="Of JPEG, WebP and AVIF.",
)
@click.option(
    "--icc",
    type=click.Choice(["srgb", "source"]),
    default="srgb",
    show_default=True,
    help="Color profile of results; source is the picture's own.",
)
@click.option("--preserve-times", is_flag=True, help="Give results the times of their pictures.")
@click.option("--overwrite", is_flag=True, help="Redo results that exist; else they are skipped.")
@click.option(
    "--in-place",
    metavar="SUFFIX",
    help="Results take the pictures' names; these are kept as NAME.jpgSUFFIX.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=500_000_000,
    show_default=True,
    help="Refuse pictures that declare more.",
)
@click.option(
    "--files-from", metavar="FILE", help="Read inputs from a file, one a line; - is stdin."
)
@click.option(
    "-0", "--null", is_flag=True, help="With --files-from: names end in NUL, not newline."
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    help="Pictures worked on at a time. [the CPUs]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_json
@_quiet
@_verbose
def run(
    inputs: tuple[str, ...],
    out: str | None,
    recursive: bool,
    model: str,
    temperature: float | None,
    strength: float,
    device: str,
    suffix: str | None,
    format_: str | None,
    quality: int,
    icc: str,
    preserve_times: bool,
    overwrite: bool,
    in_place: str | None,
    max_pixels: int,
    files_from: str | None,
    null: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Recolor pictures: files, folders, or - for standard input.

    Each result goes beside its input as NAME-recolored, or to -o. What exists is skipped, so a run
    that was interrupted is finished by the same command; an input is never overwritten. Every
    option can also be set as a variable: RECOLOR_MODEL, RECOLOR_QUALITY and so on.
    """
    from recolor_cli import batch
    from recolor_cli.console import Console
    from recolor_cli.formats import ImageFormat
    from recolor_cli.jobs import STREAM, Job, OutputOptions, plan, plan_lines
    from recolor_cli.streams import stdin_is_terminal, stdout_is_terminal
    from recolor_cli.types import RecolorOptions, cpu_count

    console = Console(quiet, verbose)
    if STREAM in inputs and files_from == "-":
        raise UsageError("standard input cannot be both a list and a picture", "use a file for one")
    if null and files_from is None:
        raise UsageError("-0 goes with --files-from", "add it, or leave -0 out")
    options = OutputOptions(
        out=out,
        suffix=suffix,
        format=ImageFormat(_FORMATS[format_]) if format_ else None,
        quality=quality,
        overwrite=overwrite,
        source_profile=icc == "source",
        preserve_times=preserve_times,
        backup=in_place,
        max_pixels=max_pixels,
    )
    advice = "name files or folders, or - for standard input"
    planned: Iterable[Job]
    if files_from is not None:  # however long the list is, only a window of it is in memory
        first = next(listed := _names_from(files_from, null), None)
        if first is None and not inputs:
            raise NoInputsError(f"the list {files_from} is empty", advice)
        names = itertools.chain(inputs, () if first is None else (first,), listed)
        planned, total, to_stdout = plan_lines(names, recursive, options), None, False
    elif inputs:
        planned = plan(inputs, recursive, options)
        total, to_stdout = len(planned), any(job.destination == STREAM for job in planned)
    else:
        raise UsageError("no input is given", advice)
    if to_stdout and as_json:
        raise UsageError("--json and the picture cannot both go to standard output", "use -o FILE")
    if to_stdout and not dry_run and stdout_is_terminal():
        raise UsageError("a picture is not written to a terminal", "redirect it, or use -o FILE")
    if STREAM in inputs and stdin_is_terminal():
        raise UsageError(
            "- reads a picture from standard input, which is a terminal", "pipe one in"
        )

    report = batch.Report()
    started = time.monotonic()
    device_used = ""

    def outcomes(stop: threading.Event) -> Iterator[Outcome]:
        nonlocal device_used
        jobs_left = iter(planned)
        for job in jobs_left:  # what is done already needs no network
            if stop.is_set():
                return
            if not dry_run and batch.has_work(job, options):
                break
            yield from batch.dry_run([job], options)
        else:
            return
        from recolor_cli.recolorizer import Recolorizer

        workers = min(jobs or cpu_count(), total or sys.maxsize)
        network = _load(model, device, workers, console)
        device_used = network.device
        recolorizer = Recolorizer(network, RecolorOptions(temperature, strength))
        todo = itertools.chain([job], jobs_left)
        yield from batch.run(todo, recolorizer, options, workers, stop)

    with console.progress(total, "pictures", "recoloring") as bar, _interrupts() as stop:
        for outcome in outcomes(stop):
            report.add(outcome)
            _tell(outcome, console, as_json, model, device_used, total == 1)
            bar.advance()
    if stop.is_set():
        console.error(f"interrupted: {report}", "the same command goes on from here")
        return ExitCode.INTERRUPTED
    if total != 1:
        console.note(f"{report} in {time.monotonic() - started:.1f} s")
    return report.exit_code


@cli.command(context_settings=_SETTINGS)
@click.option("-o", "--out", default=".", metavar="FOLDER", help="Where to. [here]")
@_device
@_quiet
@_verbose
def demo(out: str, device: str, quiet: bool, verbose: bool) -> ExitCode:
    """Recolor a picture that comes with the program: a check that all works."""
    from recolor_cli import batch
    from recolor_cli.console import Console
    from recolor_cli.files import write_atomic
    from recolor_cli.jobs import OutputOptions, plan
    from recolor_cli.recolorizer import Recolorizer

    console = Console(quiet, verbose)
    source = Path(out) / "recolor-demo.jpg"
    picture = (Path(__file__).parent / "demo.jpg").read_bytes()
    if source.exists() and source.read_bytes() != picture:
        raise UsageError(f"{source} exists and is another picture", "choose another folder with -o")
    write_atomic(source, picture)
    options = OutputOptions(overwrite=True)
    jobs = plan([str(source)], False, options)
    network = _load("poster", device, 1, console)
    report = batch.Report()
    for outcome in batch.run(jobs, Recolorizer(network), options, 1):
        report.add(outcome)
        _tell(outcome, console, False, "poster", network.device)
    return report.exit_code


@cli.command(context_settings=_SETTINGS)
@click.option(
    "--time", "timed", is_flag=True, help="Load and run each one, and say how long it takes."
)
@_json
def models(timed: bool, as_json: bool) -> ExitCode:
    """List the models that -m can name.

    L2 / gray (of no color at all it would be 1) and balanced AuC say how near a model came to the
    true colors of the pictures that it was exported with; color and classes, how much of theirs it
    gives. models/README.md in the repository has a table of all on the same pictures.
    """
    from recolor_cli.console import Console
    from recolor_cli.manifest import available_models, model_folders
    from recolor_cli.network import read_manifest

    console = Console()
    found = available_models()
    if not found:
        folders = ", ".join(map(str, model_folders())) or "no folder of models"
        console.error(
            f"there is no model in {folders}", "install recolor-cli again, or name a file"
        )
        return ExitCode.MODEL
    rows, code = [], ExitCode.OK
    for name, path in found.items():
        try:
            manifest = read_manifest(path)
            seconds = _seconds_a_picture(path) if timed else None
        except RecolorError as error:
            console.error(error.message, error.hint)
            code = ExitCode.MODEL
            continue
        megabytes = path.stat().st_size / 1e6
        figures = manifest.training.get("figures") or {}
        if as_json:
            console.json(
                {
                    "name": name,
                    "path": str(path),
                    "kind": manifest.kind,
                    "size": manifest.size,
                    "bins": len(manifest.centers),
                    "temperature": manifest.temperature,
                    "megabytes": round(megabytes, 2),
                    "license": manifest.license,
                    "data": manifest.data,
                    "training": manifest.training,
                    "seconds": seconds,
                }
            )
        rows.append(
            (
                name,
                str(manifest.kind),
                f"{manifest.size} px",
                str(len(manifest.centers) or "-"),
                f"{megabytes:.1f} MB",
                *("-" if figures.get(k) is None else format(figures[k], f) for k, f in _LISTED),
                *([f"{1000 * seconds:.0f} ms"] if seconds else []),
                manifest.license,
                str(path),
            )
        )
    if not as_json:
        titles = ("L2 / gray", "balanced AuC", "color", "classes")
        times = ("a picture",) if timed else ()
        columns = ("name", "kind", "size", "bins", "file", *titles, *times, "license", "path")
        console.table(columns, rows)
    return code


def _seconds_a_picture(path: Path) -> float:
    """Time the network alone on the CPU, on one picture with all threads, after a first run."""
    import time

    import numpy as np

    from recolor_cli.network import OnnxColorNetwork

    network = OnnxColorNetwork.load(path, "cpu")
    side = network.manifest.size
    lightness = np.full((1, 1, side, side), 50, np.float32)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        network.predict(lightness, network.manifest.temperature)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[1:])[1]


@cli.command(context_settings=_SETTINGS)
def doctor() -> ExitCode:
    """Show what a run would use: versions, devices and why one is missing, models."""
    import platform

    from recolor_cli.console import Console
    from recolor_cli.manifest import DEFAULT_MODEL, available_models, model_folders
    from recolor_cli.network import OnnxColorNetwork, available_providers
    from recolor_cli.types import cpu_count

    console = Console()
    rows = [
        ("recolor", metadata.version("recolor-cli")),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
    ]
    for package in (
        "onnxruntime-gpu",
        "onnxruntime",
        "numpy",
        "opencv-python",
        "imagecodecs",
        "tifffile",
        "pillow",
        "click",
        "rich",
    ):
        rows.append((package, _version_of(package)))
    rows.append(("providers", ", ".join(available_providers())))
    rows.append(("CPUs to use", str(cpu_count())))
    code = ExitCode.OK
    problems = []
    if "not installed" not in (_version_of("onnxruntime-gpu"), _version_of("onnxruntime")):
        problems.append("onnxruntime and onnxruntime-gpu shadow each other: uninstall one")
    try:
        network = OnnxColorNetwork.load(DEFAULT_MODEL, "auto")
        rows.append(("device", network.device))
        if network.cpu_reason:
            rows.append(("no CUDA because", network.cpu_reason))
    except RecolorError as error:
        code = error.exit_code
        problems.append(f"{error.message}: {error.hint}")
    rows.append(("models", ", ".join(available_models()) or "none"))
    rows.append(("looked in", ", ".join(map(str, model_folders())) or "nothing"))
    console.table(("", ""), rows)
    for problem in problems:
        console.error(problem)
    return code


@cli.command(context_settings=_SETTINGS)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. [runs/NAME]")
@click.option(
    "--data", multiple=True, metavar="SOURCE", help="Folders or tar files, instead of the config's."
)
@click.option("--validation", multiple=True, metavar="SOURCE", help="Likewise, to measure on.")
@click.option("--samples", type=click.IntRange(1), help="Pictures to see, instead of the config's.")
@click.option("--init", help="Start from the weights of a model, a weights file or a checkpoint.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value than the config's, as in TOML; repeatable.",
)
@_device
@_quiet
@_verbose
def train(
    config: Path,
    out: Path | None,
    data: tuple[str, ...],
    validation: tuple[str, ...],
    samples: int | None,
    init: str | None,
    settings: tuple[str, ...],
    device: str,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Train a network as CONFIG says: a TOML file, or the name of one that comes along (tune).

    Stopped at any time, the same command goes on from the last checkpoint.
    """
    from recolor_cli.console import Console

    console = Console(quiet, verbose)
    try:
        from recolor_cli.training.config import CONFIGS, TrainConfig
        from recolor_cli.training.train import Progress
        from recolor_cli.training.train import train as run_training
    except ImportError as error:
        raise _missing_extra("train", error) from error

    if not config.is_file() and len(config.parts) == 1:
        config = CONFIGS.get(str(config), config)
    own: dict[str, Any] = {}
    if data:  # the file's words are about other pictures
        own = {"description": "the user's own pictures"} | ({"name": out.name} if out else {})
    own |= {"train": data or None, "validation": validation or None, "samples": samples}
    own |= _values_of(settings)
    plan = TrainConfig.load(config, **own)
    folder = out or Path("runs") / plan.name
    with console.progress(plan.samples, "samples", plan.name) as bar:
        seen = 0

        def report(progress: Progress) -> None:
            nonlocal seen
            line = (
                f"{progress.samples:,} of {progress.total:,} samples, loss {progress.loss:.3f}, "
                f"{progress.rate:.1f} samples/s"
            )
            if progress.figures:
                line += "; validation: " + _figures_line(progress.figures)
                console.note(line)
            elif not bar.is_shown:
                console.note(line)
            bar.describe(f"{plan.name} loss {progress.loss:.3f}")
            bar.advance(progress.samples - seen)
            seen = progress.samples

        run_training(plan, folder, device, init, report, 5.0 if bar.is_shown else 30.0)
    console.data(str(folder))
    return ExitCode.OK


@cli.command(context_settings=_SETTINGS)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    multiple=True,
    metavar="SOURCE",
    help="Folders or tar files: real pictures to compare the model file's answers on.",
)
@click.option("--architecture", help="CHECKPOINT is somebody's state dict of this one of ours.")
@click.option(
    "--profile",
    metavar="PROFILE",
    help="CHECKPOINT is a network made elsewhere, which this TOML file, or one that comes along, "
    "describes: .onnx, TorchScript (.pt), .pt2, .keras or .h5.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Load a TorchScript or .pt2 file, though it can run code of its own; others run none.",
)
@_quiet
def export(
    checkpoints: tuple[str, ...],
    destination: Path,
    pictures: tuple[str, ...],
    architecture: str | None,
    profile: str | None,
    trust: bool,
    quiet: bool,
) -> ExitCode:
    """Make a model file from a training's CHECKPOINT, and prove that it gives the same colors.

    Of several, the mean of their weights, each as often as it is named; the first says what the
    model is, the others may be weights files and models. DESTINATION ends in .onnx, or in
    .safetensors for the weights alone, to train on from.

    With --architecture or --profile, from a network that was made elsewhere.
    """
    from recolor_cli.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures, usable
        from recolor_cli.training.checkpoint import WEIGHTS_SUFFIX, load_mean
        from recolor_cli.training.export import export as export_model
        from recolor_cli.training.export import export_state_dict
        from recolor_cli.training.foreign import export_foreign
    except ImportError as error:
        raise _missing_extra("train", error) from error
    console = Console(quiet)
    elsewhere = architecture or profile
    if architecture and profile:
        raise UsageError(
            "--architecture and --profile exclude each other",
            "a state dict has an architecture, everything else a profile",
        )
    if elsewhere and len(checkpoints) > 1:
        raise UsageError("--architecture and --profile take one file", "name just one")
    if destination.suffix == WEIGHTS_SUFFIX and not elsewhere:
        load_mean(checkpoints).save(destination)
        console.data(str(destination))
        return ExitCode.OK
    if destination.suffix != ".onnx":
        suffixes = ".onnx" if elsewhere else f".onnx or {WEIGHTS_SUFFIX}"
        raise UsageError(f"{destination} must end in {suffixes}", f"name it {destination}.onnx")
    source = Path(checkpoints[0])
    if profile and destination.exists() and source.exists() and destination.samefile(source):
        raise UsageError(f"{destination} is the network itself", "name another file")
    if not elsewhere and source.suffix in (".onnx", ".pt2", ".keras", ".h5", ".hdf5"):
        raise UsageError(
            f"{source} is no checkpoint of `recolor train`",
            "describe it with --profile THEIRS.toml",
        )
    found = load_pictures(pictures)
    if not found:
        raise UsageError("export compares on real pictures, too", "name some with --pictures")
    chosen = usable(found[:: -(-len(found) // _MEASURED)])
    console.note(f"comparing and measuring on {len(chosen)} pictures")
    if architecture:
        parity = export_state_dict(source, architecture, destination, chosen)
    elif profile:
        parity = export_foreign(source, _profile_of(profile), destination, chosen, trust)
    else:
        parity = export_model(checkpoints, destination, chosen)
    note = (
        f"{parity.framework} and onnxruntime differ by at most {parity.max_difference:.1e} ab "
        f"units on {parity.inputs} inputs"
    )
    if parity.storage:
        note += f"; weights in {parity.storage} change ab by {parity.rounding:.1e}"
    console.note(note)
    console.data(str(destination))
    return ExitCode.OK


def _profile_of(name: str) -> Profile:
    """Return a profile by its path, or by the name of one that comes along."""
    from recolor_cli.profile import SHIPPED, Profile

    path = SHIPPED.get(name) or Path(name)
    if not path.is_file():
        raise UsageError(f"no profile {name}", f"name a TOML file, or one of {', '.join(SHIPPED)}")
    return Profile.load(path)


@cli.command(context_settings=_SETTINGS)
@click.argument("name", required=False)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write; else print it.")
def profile(name: str | None, out: Path | None) -> ExitCode:
    """Give a profile that comes along, to lie beside somebody's network; without NAME, list them.

    \b
    recolor profile ddcolor -o ddcolor.toml
    recolor old.jpg -m ddcolor.toml
    """  # noqa: D301
    from recolor_cli.console import Console
    from recolor_cli.files import write_atomic
    from recolor_cli.profile import SHIPPED

    console = Console()
    if name is None:
        if out:
            raise UsageError("--out is for one profile", f"name one of {', '.join(SHIPPED)}")
        for known in SHIPPED:
            console.data(known)
        return ExitCode.OK
    if name not in SHIPPED:
        raise UsageError(f"no profile is called {name}", f"there are: {', '.join(SHIPPED)}")
    if out is None:
        console.data(SHIPPED[name].read_text(encoding="utf-8").rstrip("\n"))
        return ExitCode.OK
    if out.exists():
        raise UsageError(f"{out} exists already", "name another file, or remove that one")
    write_atomic(out, SHIPPED[name].read_bytes())
    console.data(str(out))
    return ExitCode.OK


@cli.command(context_settings=_SETTINGS)
@click.argument("pictures", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-m",
    "--model",
    "models_",
    envvar="RECOLOR_MODEL",
    multiple=True,
    help="A name, an .onnx file or a .toml profile; repeatable. [poster]",
)
@click.option("-T", "--temperature", type=_Number(0.01, 10), help="[the model's own]")
@click.option("--strength", type=_Number(0, 3), default=1.0, show_default=True)
@click.option("--only", help="Only pictures whose name contains this.")
@click.option("--aged", is_flag=True, help="Show the models the pictures worn as old prints are.")
@click.option("--legacy-mask", is_flag=True, help="Class accuracies as the seed's code takes them.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Folder for table.md, table.json and a sheet of pictures a model.",
)
@click.option(
    "--examples",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="How many of the best, the middling and the worst the sheets show.",
)
@_json
@_device
@_quiet
def evaluate(
    pictures: tuple[str, ...],
    models_: tuple[str, ...],
    temperature: float | None,
    strength: float,
    only: str | None,
    aged: bool,
    legacy_mask: bool,
    report: Path | None,
    examples: int,
    as_json: bool,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Measure models on color pictures, beside gray and the prior's mean.

    SOURCE is a folder or a tar file of color pictures. What the figures mean stands in the report.
    """
    from recolor_cli.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures
        from recolor_cli.evaluation.sheet import contact_sheet
        from recolor_cli.evaluation.table import GRAY, PRIOR_MEAN, Table, color_picture
        from recolor_cli.evaluation.table import evaluate as measure
    except ImportError as error:
        raise _missing_extra("eval", error) from error
    from recolor_cli.files import write_atomic
    from recolor_cli.manifest import DEFAULT_MODEL, find_model
    from recolor_cli.network import read_manifest
    from recolor_cli.types import ColorSpace, RecolorOptions

    console = Console(quiet)
    found = [p for p in load_pictures(pictures) if only is None or only in p.name]
    if not found:
        raise NoInputsError(f"no picture's name contains {only}", "leave --only out")
    sound = []
    for picture in found:
        try:
            color_picture(picture)
            sound.append(picture)
        except InputError as error:  # it must not cost what the others' measuring took
            console.error(error.message, error.hint)
    if not sound:
        return ExitCode.SOME_FAILED
    if report:
        _make_report_folder(report, pictures)
    networks: dict[str, OnnxColorNetwork] = {}
    for name in models_ or (DEFAULT_MODEL,):
        label = Path(name).name.removesuffix(".onnx").removesuffix(".toml")
        while label in (GRAY, PRIOR_MEAN, *networks):
            label += "'"
        networks[label] = _load(name, device, 1, console)
    manifests = [network.manifest for network in networks.values()]
    # Of a network made elsewhere the prior is not known: all bins are said to be as frequent.
    manifests = [m for m in manifests if len(set(m.prior)) > 1 and m.space is ColorSpace.LAB]
    baseline = manifests[0] if manifests else read_manifest(find_model(DEFAULT_MODEL))
    options = RecolorOptions(temperature, strength)
    with console.progress(len(sound), "pictures", "measuring") as bar:
        entries = measure(sound, networks, baseline, options, aged, bar.advance)
    conditions = (
        f"{len(sound)} pictures of {', '.join(Path(source).name or source for source in pictures)}"
        f"{f' whose name contains {only}' if only else ''}"
        f"{', shown worn as old prints are' if aged else ''}; temperature "
        f"{temperature or 'as the model has it'}, strength {strength:g}; "
        f"recolor {metadata.version('recolor-cli')}."
    )
    table = Table(entries, legacy_mask, conditions)
    if as_json:
        for entry in entries:
            console.json(entry.to_json())
    else:
        console.table(table.columns(), table.rows())
    if report:
        write_atomic(report / "table.md", table.to_markdown().encode())
        write_atomic(report / "table.json", table.to_json().encode())
        for number, (name, network) in enumerate(networks.items()):
            differences = entries[2 + number].differences
            sheet = contact_sheet(sound, differences, network, options, examples, aged)
            write_atomic(report / f"{number + 1}-{name}.png", sheet)
    return ExitCode.OK if len(sound) == len(found) else ExitCode.SOME_FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: the one place where errors become exits.

    Parameters
    ----------
    argv : list of str or None
        Without the program's name; None takes `sys.argv`.
    """
    arguments = sys.argv[1:] if argv is None else argv
    # Decoders warn through Python of what they repair in a file; our own messages go their own way.
    warnings.simplefilter("ignore")
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        result = cli.main(arguments, prog_name="recolor", standalone_mode=False)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except RecolorError as error:
        from recolor_cli.console import Console

        Console().error(error.message, error.hint)
        if verbose:
            traceback.print_exc()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption):
            click.echo(
                "  hint: see recolor run --help; a file's name may follow after --", err=True
            )
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except OSError as error:  # of our own streams: a full disk behind --help, say
        from recolor_cli.streams import abandon_stdout

        abandon_stdout()
        click.echo(f"error: {error}", err=True)
        return ExitCode.SOME_FAILED
    except Exception:
        traceback.print_exc()
        click.echo(
            "error: this is a bug in recolor; please report it with the lines above", err=True
        )
        return ExitCode.BUG


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn Ctrl-C, once or often, into an event: work that is begun is finished and reported."""
    stop = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    # A caller that ignores it (nohup, a shell's background) stays in charge; other threads cannot.
    if previous is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signal.signal(signal.SIGINT, lambda number, frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def _load(model: str, device: str, workers: int, console: Console) -> OnnxColorNetwork:
    """Open a model; several pictures at a time share the CPUs, a single one takes them all."""
    from recolor_cli.network import OnnxColorNetwork
    from recolor_cli.types import cpu_count

    threads = max(1, cpu_count() // workers)
    network = OnnxColorNetwork.load(model, device, threads)
    if network.cpu_reason:
        console.note(f"running on the CPU: {network.cpu_reason} (--device cpu is silent)")
    console.detail(f"model {network.manifest.name} on {network.device}, {workers} at a time")
    return network


def _names_from(files_from: str, null: bool) -> Iterator[str]:
    """Yield the names that ``--files-from`` lists, as they come in."""
    from recolor_cli.streams import parts, stdin

    with contextlib.ExitStack() as stack:
        try:
            if files_from == "-":
                source = stdin()
            else:
                source = stack.enter_context(Path(files_from).open("rb"))
            for line in parts(source, b"\0" if null else b"\n"):
                name = os.fsdecode(line if null else line.removesuffix(b"\r"))
                if name:
                    yield f"./{name}" if name == "-" else name  # there it is a file
        except OSError as error:
            advice = "check the name, or use - for standard input"
            raise InputError(
                f"cannot read the list {files_from}: {error.strerror}", advice
            ) from error


def _tell(
    outcome: Outcome, console: Console, as_json: bool, model: str, device: str, alone: bool = True
) -> None:
    """Report one outcome."""
    from recolor_cli.batch import Status
    from recolor_cli.jobs import STREAM

    job = outcome.job
    for warning in outcome.warnings:
        console.warn(f"{job.source}: {warning}")
    if outcome.error:
        console.error(f"{job.source}: {outcome.error.message}", outcome.error.hint)
    if outcome.bug:
        console.detail(outcome.bug)
    if outcome.status is Status.SKIPPED:
        # One is told; of a folder's thousands the count is enough.
        say = console.note if alone else console.detail
        say(f"{job.destination} exists, skipped; --overwrite redoes it")
    if as_json:
        console.json(
            {
                "source": job.source,
                "destination": job.destination or None,
                "status": outcome.status,
                "error": outcome.error.message if outcome.error else None,
                "hint": outcome.error.hint if outcome.error else None,
                "warnings": list(outcome.warnings),
                "width": outcome.size.width if outcome.size else None,
                "height": outcome.size.height if outcome.size else None,
                "model": model,
                "device": device or None,
                "seconds": {stage: round(s, 4) for stage, s in outcome.seconds.items()},
            }
        )
    elif outcome.status is Status.PLANNED:
        console.data(f"{job.source} -> {job.destination}")
    elif outcome.status is Status.WRITTEN and job.destination != STREAM and not console.quiet:
        console.data(job.destination)


def _make_report_folder(report: Path, sources: Sequence[str]) -> None:
    """Make a folder that is no source itself and lies in none: else it would be measured next."""
    for source in sources:
        folder = Path(source).expanduser().resolve()
        if folder.is_dir() and report.resolve().is_relative_to(folder):
            raise UsageError(f"the report {report} lies in {source}", "name a folder elsewhere")
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {report}: {error.strerror}", "name another with --report"
        ) from error


def _values_of(settings: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` as lines of TOML; a word that is no value of TOML is text."""
    import tomllib

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        if not (equals and key.isidentifier()):
            raise UsageError(f"--set {setting} is not KEY=VALUE", "as in --set rebalance=0.8")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value.strip()
    return values


def _figures_line(figures: Any) -> str:
    return (
        f"balanced AuC {figures.balanced_auc:.3f}, 1-class {figures.one_class:.3f}, "
        f"2-class {figures.two_class:.3f}, L2 {figures.l2:.0f}, "
        f"chroma {figures.chroma_ratio:.2f}, classes {figures.class_ratio:.2f}"
    )


def _missing_extra(extra: str, error: ImportError) -> UsageError:
    return UsageError(
        f"this command needs the package {error.name}", f"pip install 'recolor-cli[{extra}]'"
    )


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
