"""The command line: find the command for argv, run it, and turn errors into exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeGuard, cast

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from recolor_cli.commands.cluster_argument import with_cluster_address
from recolor_cli.commands.command_choice import choose_commands
from recolor_cli.commands.help import write_first_page
from recolor_cli.commands.options import DEFAULT_SETTINGS, GlobalFlags
from recolor_cli.commands.signals import raise_on_interrupt
from recolor_cli.errors import ExitCode, NoInputsError, RecolorError, UsageError
from recolor_cli.system.stores import LISTINGS

_CHOSEN = "recolor.chosen"  # in a context: two commands to run, each with its arguments
_OPTIONS = ("-h", "--help", "-V", "--version")  # of the program
_MOST_USED = ("out", "recursive", "model", "strength", "overwrite")
_TOPICS = {
    "more": ("film", "serve", "demo", "compare", "models", "palettes", "doctor"),
    "train": ("train", "export", "evaluate", "quantize", "profile"),
}


class _Commands(Mapping[str, click.Command]):
    """The commands by name. Each is imported on first access, because a run needs only one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._names:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"recolor_cli.commands.{name}"), name)
        return command

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without an import

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _RunByDefault(click.Group):
    """A group in which the names of ``run`` and ``film`` can be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``run`` or ``film``, which the inputs choose, unless a command is named.

        An argument -NAME may be a file.
        """
        args = _with_word_as_option([_as_path(argument) for argument in args])
        args = with_cluster_address(args)
        if args and args[0] not in self.commands and args[0] not in _OPTIONS:
            self._refuse_misspelt(args[0])
            chosen = choose_commands(args, self.commands)
            if len(chosen) > 1:
                ctx.meta[_CHOSEN] = chosen
            args = [chosen[0][0], *chosen[0][1]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Where pictures and films are named, run both, one after the other."""
        if _CHOSEN not in ctx.meta:
            result = super().invoke(ctx)
            # `run` and `film` only check what is given, and return their work.
            return result() if callable(result) else result
        ctx.ensure_object(GlobalFlags).pictures_alone = False
        contexts = [
            self.commands[name].make_context(name, arguments, parent=ctx)
            for name, arguments in ctx.meta[_CHOSEN]
        ]
        # The options and inputs of both are checked before one of them begins its work.
        checked: list[Callable[[], ExitCode]] = []
        nothing: list[NoInputsError] = []
        for inner in contexts:
            with inner:
                try:
                    checked.append(inner.command.invoke(inner))
                except NoInputsError as error:  # --exclude, say, leaves it no file of a folder
                    nothing.append(error)
        if not checked:
            raise nothing[0]
        code = ExitCode.OK
        for work in checked:
            code = max(code, work())
            if code == ExitCode.INTERRUPTED:
                break
        return code

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write help that fits a screen."""
        write_first_page(self, ctx, formatter, "run", _MOST_USED, _TOPICS)

    def _refuse_misspelt(self, name: str) -> None:
        """Raise UsageError if a name is nearly that of a command, and there is no such file."""
        if name.startswith("-"):  # an option, such as --palette
            return
        meant = get_close_matches(name, self.commands, 1, cutoff=0.75)
        if meant and not os.path.lexists(name):
            raise UsageError(f"{name} is no command and no file", f"did you mean {meant[0]}?")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command or file, or an option of ``run``."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            return found + self.commands["run"].shell_complete(ctx, incomplete)
        return found or [CompletionItem(incomplete, type="file")]


@click.group(cls=_RunByDefault, context_settings=DEFAULT_SETTINGS, no_args_is_help=True)
@click.version_option(None, "-V", "--version", package_name="recolor-cli", prog_name="recolor")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Give old film posters and photographs new, believable color.

    \b
    recolor poster.jpg              writes poster-recolored.jpg
    recolor posters/ -o out/ -r     a tree in, the same tree out; again to resume
    cat poster.jpg | recolor - > new.jpg
    recolor casablanca.mp4          a film, with its sound: `recolor film --help`

    A file that has a command's name is given as ./NAME.
    """  # noqa: D301
    # These turn Ctrl-C into an event as soon as there is something to finish.
    if ctx.invoked_subcommand not in ("run", "film"):
        raise_on_interrupt()


def _as_path(argument: str) -> str:
    """Return ./-NAME for an existing file -NAME, which a shell's ``*.jpg`` may expand to."""
    is_file = argument.startswith("-") and "." in argument and os.path.isfile(argument)
    return f"./{argument}" if is_file else argument


def _with_word_as_option(arguments: list[str]) -> list[str]:
    """Return ``--version`` for ``version``, and ``COMMAND --help`` for ``help COMMAND``."""
    word, *rest = arguments or [""]
    if word not in ("version", "help") or len(rest) > (word == "help") or os.path.lexists(word):
        return arguments
    return [*rest, f"--{word}"]


cli.commands = cast(
    MutableMapping[str, click.Command],  # click's type; nothing adds a command
    _Commands(["run", *(name for names in _TOPICS.values() for name in names)]),
)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code. No other place turns errors into exit codes.

    Parameters
    ----------
    argv : list of str or None
        Without the program's name; None takes `sys.argv`.
    """
    arguments = sys.argv[1:] if argv is None else argv
    # Set before numpy is imported. Its threads would only slow down our small matrix products, and
    # pictures are recolored in threads of our own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Decoders issue Python warnings when they repair a file; our own warnings take another way.
    warnings.simplefilter("ignore")
    flags = GlobalFlags()
    LISTINGS.forget()
    try:
        result = cli.main(arguments, prog_name="recolor", standalone_mode=False, obj=flags)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except RecolorError as error:
        from recolor_cli.terminal.console import Console

        Console().error(error.message, error.hint)
        if flags.verbose:
            traceback.print_exc()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        if hint := _hint_of(error):
            click.echo(f"  hint: {hint}", err=True)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except Exception as error:
        if _is_output_error(error):  # for example --help > /dev/full
            from recolor_cli.terminal.streams import abandon_stdout

            abandon_stdout()
            click.echo(f"error: cannot write to standard output: {error.strerror}", err=True)
            return ExitCode.SOME_FAILED
        if message := _explain(error):
            click.echo(message, err=True)
            if flags.verbose:
                traceback.print_exc()
            return ExitCode.SOME_FAILED
        traceback.print_exc()
        click.echo(
            "error: this is a bug in recolor; please report it with the lines above", err=True
        )
        return ExitCode.BUG


def _hint_of(error: click.ClickException) -> str:
    """Return what click does not say about a wrong option; may be empty."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context:
        owners = [
            name
            for name in ("run", "film")
            if any(error.option_name in option.opts for option in cli.commands[name].params)
        ]
        if owners and context.info_name in ("run", "film"):
            kind = {"run": "pictures", "film": "films"}[owners[0]]
            return f"{error.option_name} is an option for {kind}: recolor {owners[0]} --help"
        return f"see {context.command_path} --help; a file's name may follow after --"
    parameter = getattr(error, "param", None)
    if context and parameter:
        source = context.get_parameter_source(parameter.name)
        if source is ParameterSource.ENVIRONMENT:
            variable = parameter.envvar or f"{context.auto_envvar_prefix}_{parameter.name.upper()}"
            return f"the value comes from the variable {variable}"
    return ""


def _explain(error: Exception) -> str:
    """Return what the user is told of an error that any line may raise; empty of a bug."""
    from recolor_cli.system.files import (
        NO_WORKING_FOLDER,
        WORKING_FOLDER_ADVICE,
        is_working_folder_gone,
    )
    from recolor_cli.system.memory import is_out_of_memory

    if isinstance(error, FileNotFoundError) and is_working_folder_gone():
        return f"error: {NO_WORKING_FOLDER}\n  hint: {WORKING_FOLDER_ADVICE}"
    if is_out_of_memory(error):
        return "error: there is not enough memory\n  hint: close other programs"
    return ""


def _is_output_error(error: Exception) -> TypeGuard[OSError]:
    """Tell whether an error was raised by printing, which click and rich do."""
    if not isinstance(error, OSError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = frame.f_globals.get("__name__", "").partition(".")[0]
    return package in ("click", "rich")
