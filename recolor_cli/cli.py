"""The command line: argv to options to a run to an exit code. Heavy rooms load inside commands."""

from __future__ import annotations

import os
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.errors import ExitCode, InputError, NoInputsError, RecolorError, UsageError

if TYPE_CHECKING:
    from recolor_cli.batch import Outcome
    from recolor_cli.console import Console
    from recolor_cli.network import OnnxColorNetwork

_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "avif": "AVIF"}
_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "RECOLOR",
    "max_content_width": 100,
}


class _RunByDefault(click.Group):
    """A group whose command ``run`` need not be named: ``recolor poster.jpg``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``run`` unless a command, or help, is asked for."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, context_settings=_SETTINGS, no_args_is_help=True)
@click.version_option(package_name="recolor-cli", prog_name="recolor")
def cli() -> None:
    r"""Give old film posters and photographs new, believable color.

    \b
    recolor poster.jpg                  writes poster-recolored.jpg
    recolor posters/ -o out/ -r         a tree in, the same tree out; again to resume
    cat poster.jpg | recolor - > new.jpg

    A picture's size, sharpness and lightness stay; only its color is new. `recolor run --help`
    lists the options. A file that has a command's name is given as ./NAME.
    """


_device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="auto uses CUDA where it works and says so where it does not; cuda insists.",
)
_quiet = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
_verbose = click.option("-v", "--verbose", is_flag=True, help="Print more, and tracebacks.")


def _check_range(low: float, high: float) -> Any:
    return click.FloatRange(low, high)


@cli.command(context_settings=_SETTINGS)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--out", metavar="OUT", help="Folder, file or - for stdout. [beside the input]")
@click.option("-r", "--recursive", is_flag=True, help="Search folders in depth.")
@click.option("-m", "--model", default="poster", show_default=True, help="A name or an .onnx file.")
@click.option(
    "-T",
    "--temperature",
    type=_check_range(0.01, 10),
    help="Lower is more vivid and patchier, higher calmer. [the model's own]",
)
@click.option(
    "--strength",
    type=_check_range(0, 3),
    default=1.0,
    show_default=True,
    help="Factor on the color; 0 is gray.",
)
@_device
@click.option("--suffix", help="Added to the name. [-recolored; nothing with -o FOLDER]")
@click.option("--format", "format_", type=click.Choice(list(_FORMATS)), help="[the input's]")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    show_default=True,
    help="Of JPEG, WebP and AVIF.",
)
@click.option("--overwrite", is_flag=True, help="Redo results that exist; else they are skipped.")
@click.option(
    "--files-from", metavar="FILE", help="Read inputs from a file, one a line; - is stdin."
)
@click.option(
    "-0", "--null", is_flag=True, help="With --files-from: names end in NUL, not newline."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), help="Pictures worked on at a time. [the CPUs]"
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an input to stdout.")
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
    overwrite: bool,
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
    from recolor_cli.image_io import ImageFormat
    from recolor_cli.types import RecolorOptions

    console = Console(quiet, verbose)
    names = [*inputs, *_names_from(files_from, null)]
    if not names:
        raise UsageError("no input is given", "name files or folders, or - for standard input")
    options = batch.OutputOptions(
        out=out,
        suffix=suffix,
        format=ImageFormat(_FORMATS[format_]) if format_ else None,
        quality=quality,
        overwrite=overwrite,
    )
    planned = batch.plan(names, recursive, options)
    to_stdout = any(job.destination == batch.STREAM for job in planned)
    if to_stdout and as_json:
        raise UsageError("--json and the picture cannot both go to standard output", "use -o FILE")
    if to_stdout and not dry_run and sys.stdout.isatty():
        raise UsageError("a picture is not written to a terminal", "redirect it, or use -o FILE")

    report = batch.Report()
    started = time.monotonic()
    with console.progress(len(planned), "pictures", "recoloring") as bar:
        device_used = ""
        if dry_run:
            outcomes = batch.dry_run(planned, options)
        else:
            from recolor_cli.recolorizer import Recolorizer

            workers = min(jobs or cpu_count(), len(planned))
            network = _load(model, device, workers, console)
            device_used = network.device
            recolorizer = Recolorizer(network, RecolorOptions(temperature, strength))
            outcomes = batch.run(planned, recolorizer, options, workers)
        try:
            for outcome in outcomes:
                report.add(outcome)
                _tell(outcome, console, as_json, model, device_used)
                bar.advance()
        except KeyboardInterrupt:
            console.error(f"interrupted: {report}", "the same command goes on from here")
            return ExitCode.INTERRUPTED
    if len(planned) > 1:
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
    from recolor_cli.image_io import write_atomic
    from recolor_cli.recolorizer import Recolorizer

    console = Console(quiet, verbose)
    source = Path(out) / "recolor-demo.jpg"
    write_atomic(source, (Path(__file__).parent / "demo.jpg").read_bytes())
    options = batch.OutputOptions(overwrite=True)
    jobs = batch.plan([str(source)], False, options)
    network = _load("poster", device, 1, console)
    report = batch.Report()
    for outcome in batch.run(jobs, Recolorizer(network), options, 1):
        report.add(outcome)
        _tell(outcome, console, False, "poster", network.device)
    return report.exit_code


@cli.command(context_settings=_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a model.")
def models(as_json: bool) -> ExitCode:
    """List the models that -m can name."""
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
        except RecolorError as error:
            console.error(error.message, error.hint)
            code = ExitCode.MODEL
            continue
        megabytes = path.stat().st_size / 1e6
        samples = int(manifest.training.get("samples", 0))
        if as_json:
            console.json(
                {
                    "name": name,
                    "path": str(path),
                    "kind": manifest.kind,
                    "size": manifest.size,
                    "classes": len(manifest.centers),
                    "temperature": manifest.temperature,
                    "megabytes": round(megabytes, 2),
                    "license": manifest.license,
                    "data": manifest.data,
                    "training": manifest.training,
                }
            )
        rows.append(
            (
                name,
                str(manifest.kind),
                f"{manifest.size} px",
                str(len(manifest.centers) or "-"),
                f"{megabytes:.1f} MB",
                f"{samples:,}",
                manifest.license,
                str(path),
            )
        )
    if not as_json:
        columns = ("name", "kind", "size", "classes", "file", "samples seen", "license", "path")
        console.table(columns, rows)
    return code


@cli.command(context_settings=_SETTINGS)
def doctor() -> ExitCode:
    """Show what a run would use: versions, devices and why one is missing, models."""
    import platform

    import onnxruntime

    from recolor_cli.console import Console
    from recolor_cli.manifest import DEFAULT_MODEL, available_models, model_folders
    from recolor_cli.network import OnnxColorNetwork

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
        "pillow",
        "click",
        "rich",
    ):
        rows.append((package, _version_of(package)))
    rows.append(("providers", ", ".join(onnxruntime.get_available_providers())))
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
@click.option(
    "--init", type=click.Path(path_type=Path), help="Start from this checkpoint's weights."
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
    init: Path | None,
    device: str,
    quiet: bool,
    verbose: bool,
) -> ExitCode:
    """Train a network as CONFIG says: a TOML file, or the name of one that comes along (poster).

    Stopped at any time, the same command goes on from the last checkpoint.
    """
    from recolor_cli.console import Console

    console = Console(quiet, verbose)
    try:
        from recolor_cli.training.config import TrainConfig
        from recolor_cli.training.train import Progress
        from recolor_cli.training.train import train as run_training
    except ImportError as error:
        raise _missing_extra("train", error) from error

    if not config.exists() and len(config.parts) == 1:
        config = Path(__file__).parent / "training" / "configs" / f"{config}.toml"
    settings = TrainConfig.load(
        config, train=data or None, validation=validation or None, samples=samples
    )
    folder = out or Path("runs") / settings.name
    with console.progress(settings.samples, "samples", settings.name) as bar:
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
            bar.describe(f"{settings.name} loss {progress.loss:.3f}")
            bar.advance(progress.samples - seen)
            seen = progress.samples

        run_training(settings, folder, device, init, report, 5.0 if bar.is_shown else 30.0)
    console.data(str(folder))
    return ExitCode.OK


@cli.command(context_settings=_SETTINGS)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--pictures",
    multiple=True,
    required=True,
    metavar="SOURCE",
    help="Folders or tar files: real pictures to compare torch and onnxruntime on.",
)
@_quiet
def export(checkpoint: Path, destination: Path, pictures: tuple[str, ...], quiet: bool) -> ExitCode:
    """Make a model file from a training's CHECKPOINT, and prove that it gives the same colors."""
    from recolor_cli.console import Console

    try:
        from recolor_cli.evaluation.pictures import load_pictures
        from recolor_cli.training.export import export as export_model
    except ImportError as error:
        raise _missing_extra("train", error) from error
    if destination.suffix != ".onnx":
        raise UsageError(f"{destination} must end in .onnx")
    console = Console(quiet)
    found = load_pictures(pictures)
    parity = export_model(checkpoint, destination, found[:: max(1, len(found) // 16)][:16])
    console.note(
        f"torch and onnxruntime differ by at most {parity.max_difference:.1e} ab units "
        f"on {parity.inputs} inputs"
    )
    console.data(str(destination))
    return ExitCode.OK


@cli.command(context_settings=_SETTINGS)
@click.argument("pictures", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-m", "--model", "models_", multiple=True, help="A name or an .onnx file; repeatable. [poster]"
)
@click.option("-T", "--temperature", type=_check_range(0.01, 10), help="[the model's own]")
@click.option("--strength", type=_check_range(0, 3), default=1.0, show_default=True)
@click.option("--only", help="Only pictures whose name contains this.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
@_device
@_quiet
def evaluate(
    pictures: tuple[str, ...],
    models_: tuple[str, ...],
    temperature: float | None,
    strength: float,
    only: str | None,
    as_json: bool,
    device: str,
    quiet: bool,
) -> ExitCode:
    """Measure models on color pictures, beside gray and the prior's mean.

    SOURCE is a folder or a tar file. The figures are defined in recolor_cli/evaluation/metrics.py.
    """
    from recolor_cli.console import Console
    from recolor_cli.evaluation.pictures import load_pictures
    from recolor_cli.evaluation.table import evaluate as measure
    from recolor_cli.types import RecolorOptions

    console = Console(quiet)
    found = [p for p in load_pictures(pictures) if only is None or only in p.name]
    if not found:
        raise NoInputsError(f"no picture's name contains {only}")
    networks = {name: _load(name, device, cpu_count(), console) for name in models_ or ("poster",)}
    with console.progress(len(found) * len(networks), "pictures", "measuring") as bar:
        rows = measure(found, networks, RecolorOptions(temperature, strength), bar.advance)
    if as_json:
        for row in rows:
            console.json(row.to_json())
    else:
        console.table(rows[0].columns(), [row.cells() for row in rows])
    return ExitCode.OK


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: the one place where errors become exits.

    Parameters
    ----------
    argv : list of str or None
        Without the program's name; None takes `sys.argv`.
    """
    arguments = sys.argv[1:] if argv is None else argv
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
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our stdout is gone; without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitCode.SOME_FAILED
    except Exception:
        traceback.print_exc()
        click.echo(
            "error: this is a bug in recolor; please report it with the lines above", err=True
        )
        return ExitCode.BUG


def cpu_count() -> int:
    """Return the CPUs that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load(model: str, device: str, workers: int, console: Console) -> OnnxColorNetwork:
    """Open a model; several pictures at a time share the CPUs, a single one takes them all."""
    from recolor_cli.network import OnnxColorNetwork

    threads = max(1, cpu_count() // workers)
    network = OnnxColorNetwork.load(model, device, threads)
    if network.cpu_reason:
        console.note(f"running on the CPU: {network.cpu_reason} (--device cpu is silent)")
    console.detail(f"model {network.manifest.name} on {network.device}, {workers} at a time")
    return network


def _names_from(files_from: str | None, null: bool) -> list[str]:
    """Return the names that ``--files-from`` lists."""
    if files_from is None:
        if null:
            raise UsageError("-0 goes with --files-from")
        return []
    try:
        data = sys.stdin.buffer.read() if files_from == "-" else Path(files_from).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the list {files_from}: {error.strerror}") from error
    lines = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(line) for line in lines if line]


def _tell(outcome: Outcome, console: Console, as_json: bool, model: str, device: str) -> None:
    """Report one outcome."""
    from recolor_cli.batch import STREAM, Status

    job = outcome.job
    for warning in outcome.warnings:
        console.warn(f"{job.source}: {warning}")
    if outcome.error:
        console.error(f"{job.source}: {outcome.error.message}", outcome.error.hint)
    if outcome.bug:
        console.detail(outcome.bug)
    if outcome.status is Status.SKIPPED:
        console.detail(f"{job.destination} exists, skipped")
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


def _figures_line(figures: Any) -> str:
    return (
        f"balanced AuC {figures.balanced_auc:.3f}, 1-class {figures.one_class:.3f}, "
        f"2-class {figures.two_class:.3f}, L2 {figures.l2:.0f}, chroma {figures.chroma:.2f}"
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
