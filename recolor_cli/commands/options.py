"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from recolor_cli.batch.job import STREAM, as_stream
from recolor_cli.cluster.address import check_cluster_address
from recolor_cli.commands.completers import device_names, files, model_names
from recolor_cli.commands.variables import VARIABLE_PREFIX, warn_of_unknown_variables
from recolor_cli.errors import UsageError
from recolor_cli.system.device import parse_device
from recolor_cli.system.places import local_name

if TYPE_CHECKING:
    from recolor_cli.batch.shard import Shard

Command = Callable[..., Any]

SETTINGS: dict[str, Any] = {  # of every command
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
}
# Of the commands whose names may be left out. Variables of the others have the command's name, as
# RECOLOR_TRAIN_OUT has, so that RECOLOR_OUT does not move the files of a training.
DEFAULT_SETTINGS: dict[str, Any] = SETTINGS | {"auto_envvar_prefix": VARIABLE_PREFIX}


@dataclass
class GlobalFlags:
    """Facts that `cli` and a command pass to each other besides the command line.

    Parameters
    ----------
    verbose : bool
        Whether `cli.main` prints the traceback of an error.
    pictures_alone : bool
        Whether `film` does not follow `run`, so that `run` names the films that it leaves out.
    """

    verbose: bool = False
    pictures_alone: bool = True


def _store_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if flags := ctx.find_object(GlobalFlags):
        flags.verbose = value
    return value


def _warn_unless_quiet(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if not value:
        warn_of_unknown_variables(ctx)
    return value


class Number(click.FloatRange):
    """A number within limits. Unlike click's own it refuses NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value as a float, or fail as a usage error."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number", param, ctx)
        return number


class _ModelOption(click.Option):
    """An option that is refused if it is given twice; click would take the last one."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have the parser keep all values."""
        parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append")

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> Any:
        """Return the only value; without one, that of the variable or the default."""
        given = opts.get(self.name or "", ())
        if len(given) > 1:
            raise UsageError(
                f"-m names {' and '.join(given)}, and one model colors",
                "to see each picture by each of them: recolor compare",
            )
        return super().consume_value(ctx, {self.name: given[0]} if given else {})


def _read_inputs(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(as_stream(local_name(name)) for name in value)


def _read_place(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else local_name(value)


def _read_shard(ctx: click.Context, param: click.Parameter, value: str | None) -> Shard | None:
    from recolor_cli.batch.shard import Shard

    return None if value is None else Shard.parse(value)


def inputs_argument(required: bool) -> Callable[[Command], Command]:
    """Return the argument INPUT..., in which standard input is ``-`` and local URLs are paths."""
    return click.argument(
        "inputs",
        nargs=-1,
        required=required,
        metavar="INPUT...",
        shell_complete=files,
        callback=_read_inputs,
    )


out_option = click.option(
    "-o",
    "--out",
    metavar="OUT",
    callback=_read_place,
    shell_complete=files,
    help="Folder, file or - for stdout. [beside the input]",
)
base_option = click.option(
    "--base",
    metavar="FOLDER",
    callback=_read_place,
    shell_complete=files,
    help="Keep the path of inputs below this folder in -o. [several folders: their common one]",
)
recursive_option = click.option("-r", "--recursive", is_flag=True, help="Search folders in depth.")
exclude_option = click.option(
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out such files and folders in folders, as in '*-small.*'; repeatable.",
)
shard_option = click.option(
    "--shard",
    metavar="N/COUNT",
    callback=_read_shard,
    help="Do one part of the inputs, as in 3/20; other machines do the others.",
)
model_option = click.option(
    "-m",
    "--model",
    cls=_ModelOption,
    default="poster",
    show_default=True,
    metavar="NAME",
    envvar="RECOLOR_MODEL",
    shell_complete=model_names,
    help="A name, an .onnx or .toml file.",
)
temperature_option = click.option(
    "-T",
    "--temperature",
    type=Number(0.01, 10),
    metavar="N",
    help="Lower is more vivid and patchier, higher calmer. [the model's own]",
)
strength_option = click.option(
    "--strength",
    type=Number(0, 3),
    metavar="N",
    default=1.0,
    show_default=True,
    help="Factor on the color; 0 is gray.",
)
keep_original_option = click.option(
    "--keep-original",
    type=Number(0, 1),
    metavar="N",
    default=0.0,
    show_default=True,
    help="How much of its own color stays: 0 none, 1 all.",
)
only_gray_option = click.option(
    "--only-gray", is_flag=True, help="Recolor gray parts, leave colored ones alone."
)
mask_option = click.option(
    "--mask",
    metavar="FILE",
    callback=_read_place,
    shell_complete=files,
    help="A picture that is white where color may change.",
)
palette_option = click.option(
    "--palette",
    metavar="FILE|COLORS",
    shell_complete=files,
    help="Pull colors toward a palette by name (recolor palettes), a picture, a .gpl, .ase or .aco "
    'file, or "#c8102e,gold".',
)
pick_option = click.option(
    "--pick",
    type=click.IntRange(1, 16),
    metavar="N",
    help="Make variant N the result; 1 is the network's own. [1]",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Which variants. [0]"
)
palette_strength_option = click.option(
    "--palette-strength", type=Number(0, 1), metavar="N", help="How far: 0 not, 1 all. [0.8]"
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    shell_complete=device_names,
    envvar="RECOLOR_DEVICE",
    help="auto uses CUDA where it works and says why a card does not; cuda insists.",
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Redo results that exist; else they are skipped."
)
no_provenance_option = click.option(
    "--no-provenance", is_flag=True, help="Do not write into results how they were made."
)
dry_run_option = click.option(
    "-n",
    "--dry-run",
    is_flag=True,
    help="Say what would be done and how long it would take, and write nothing.",
)
json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    envvar="RECOLOR_JSON",
    help="Print JSON to stdout, one object a line.",
)
null_option = click.option(
    "-0",
    "--null",
    is_flag=True,
    help="Names end in NUL, not newline.",
)
quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    envvar="RECOLOR_QUIET",
    callback=_warn_unless_quiet,
    help="Print nothing but errors.",
)
verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="RECOLOR_VERBOSE",
    is_eager=True,  # so that errors in other options have a traceback, too
    callback=_store_verbose,
    help="Print more, and tracebacks.",
)


def _read_cluster(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return None if value is None else check_cluster_address(value)


cluster_option = click.option(
    "--cluster",
    metavar="[ADDRESS]",
    callback=_read_cluster,
    help="The machines of a Ray cluster at HOST:PORT, or auto. [this machine]",
)


def jobs_option(default: str) -> Callable[[Command], Command]:
    """Return the option ``-j``; `default` is said in the help."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, 256),
        metavar="N",
        help=f"Pictures worked on at a time. [{default}]",
    )


def max_pixels_option(default: int) -> Callable[[Command], Command]:
    """Return the option ``--max-pixels`` with a default."""
    return click.option(
        "--max-pixels",
        type=click.IntRange(1),
        metavar="N",
        default=default,
        show_default=True,
        help="Refuse pictures that declare more.",
    )


def suffix_option(default: str) -> Callable[[Command], Command]:
    """Return the option ``--suffix``, whose help names the default."""
    return click.option("--suffix", help=f"Added to the name. [{default}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedValues:
    """The values of the argument and the options that mean the same to `run` and to `film`."""

    inputs: tuple[str, ...]
    out: str | None
    base: str | None
    recursive: bool
    exclude: tuple[str, ...]
    shard: Shard | None
    model: str
    temperature: float | None
    strength: float
    keep_original: float
    only_gray: bool
    mask: str | None
    pick: int | None
    seed: int | None
    palette: str | None
    palette_strength: float | None
    device: str
    suffix: str | None
    overwrite: bool
    no_provenance: bool
    dry_run: bool
    as_json: bool
    null: bool
    quiet: bool
    verbose: bool


def check_cluster(given: SharedValues) -> None:
    """Raise UsageError if other machines cannot do what is asked for."""
    if STREAM in (*given.inputs, given.out):
        raise UsageError(
            "--cluster cannot read standard input or write to standard output",
            "name files, or leave --cluster out",
        )
    if parse_device(given.device)[1]:
        raise UsageError(
            f"--device {given.device} names a card, and Ray chooses those of a cluster",
            "use --device cuda",
        )


def shared_options(command: Command) -> Command:
    """Add the options that mean the same to `run` and to `film`, except for those of color."""
    return add_options(
        command,
        out_option,
        base_option,
        recursive_option,
        exclude_option,
        shard_option,
        model_option,
        temperature_option,
        strength_option,
        device_option,
        overwrite_option,
        no_provenance_option,
        dry_run_option,
        json_option,
        null_option,
        quiet_option,
        verbose_option,
    )


def color_options(command: Command) -> Command:
    """Add the options that choose the places and the palette of new color."""
    return add_options(
        command,
        keep_original_option,
        only_gray_option,
        mask_option,
        pick_option,
        seed_option,
        palette_option,
        palette_strength_option,
    )


def add_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command, in the order in which its help lists them."""
    for option in reversed(options):
        command = option(command)
    return command
