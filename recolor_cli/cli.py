"""The command line: argv to a command to an exit code."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import cast

import click
from click.shell_completion import CompletionItem

from recolor_cli.commands.help import first_page
from recolor_cli.commands.options import SETTINGS
from recolor_cli.errors import ExitCode, RecolorError, UsageError
from recolor_cli.image.film_names import is_film

_MOST_USED = ("out", "recursive", "model", "strength", "overwrite")
_TOPICS = {
    "more": ("film", "demo", "models", "doctor", "bench"),
    "train": ("train", "export", "evaluate", "quantize", "profile"),
    "shell": ("completion", "man"),
}


class _Commands(Mapping[str, click.Command]):
    """The commands by their names, each loaded when it is asked for: a run needs but one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._names:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"recolor_cli.commands.{name}"), name)
        return command

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without loading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _RunByDefault(click.Group):
    """A group whose commands ``run`` and ``film`` need not be named: ``recolor poster.jpg``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``run``, or ``film`` where a film is named, unless a command, or help, is.

        -NAME may be a file.
        """
        args = [_as_path(argument) for argument in args]
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            self._refuse_misspelt(args[0])
            films = any(is_film(argument) for argument in args if not argument.startswith("--"))
            args = ["film" if films else "run", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write help that fits a screen."""
        first_page(self, ctx, formatter, "run", _MOST_USED, _TOPICS)

    def _refuse_misspelt(self, name: str) -> None:
        """Raise if a name is no file, but nearly a command."""
        meant = get_close_matches(name, self.commands, 1, cutoff=0.75)
        if meant and not os.path.lexists(name):
            raise UsageError(f"{name} is no command and no file", f"did you mean {meant[0]}?")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command, an option of ``run``, or the name of a file."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            return found + self.commands["run"].shell_complete(ctx, incomplete)
        return found or [CompletionItem(incomplete, type="file")]


@click.group(cls=_RunByDefault, context_settings=SETTINGS, no_args_is_help=True)
@click.version_option(package_name="recolor-cli", prog_name="recolor")
def cli() -> None:
    """Give old film posters and photographs new, believable color.

    \b
    recolor poster.jpg              writes poster-recolored.jpg
    recolor posters/ -o out/ -r     a tree in, the same tree out; again to resume
    cat poster.jpg | recolor - > new.jpg
    recolor casablanca.mp4          a film, with its sound: `recolor film --help`

    A file that has a command's name is given as ./NAME.
    """  # noqa: D301


def _as_path(argument: str) -> str:
    """Return ./-NAME for a file -NAME: a shell's ``*.jpg`` does not know which names look odd."""
    is_file = argument.startswith("-") and "." in argument and Path(argument).is_file()
    return f"./{argument}" if is_file else argument


cli.commands = cast(
    MutableMapping[str, click.Command],  # nobody adds one
    _Commands(["run", *(name for names in _TOPICS.values() for name in names)]),
)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: the one place where errors become exits.

    Parameters
    ----------
    argv : list of str or None
        Without the program's name; None takes `sys.argv`.
    """
    arguments = sys.argv[1:] if argv is None else argv
    # Numpy is not loaded yet. Our products of matrices are small: its threads would take more time
    # to meet than to multiply, and pictures are worked on in threads of our own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Decoders warn through Python of what they repair in a file; our own messages go their own way.
    warnings.simplefilter("ignore")
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        result = cli.main(arguments, prog_name="recolor", standalone_mode=False)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except RecolorError as error:
        from recolor_cli.terminal.console import Console

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
        from recolor_cli.terminal.streams import abandon_stdout

        abandon_stdout()
        click.echo(f"error: {error}", err=True)
        return ExitCode.SOME_FAILED
    except Exception:
        traceback.print_exc()
        click.echo(
            "error: this is a bug in recolor; please report it with the lines above", err=True
        )
        return ExitCode.BUG
