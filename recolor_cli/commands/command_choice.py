"""Choose the commands for a command line without one: `run` for pictures, `film` for films."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from recolor_cli.batch.job import STREAM, as_stream
from recolor_cli.commands.variables import VARIABLE_PREFIX
from recolor_cli.errors import UsageError
from recolor_cli.image.film_names import has_film_suffix, is_film
from recolor_cli.image.formats import ImageFormat
from recolor_cli.system.places import is_address, local_name

_COMMANDS = ("run", "film")
# Options that choose pictures or name their results. They leave films out.
_PICTURES_ONLY = {"--files-from", "--watch", "--if-gray", "--in-place"}
_OUT = ("-o", "--out")
_RECURSIVE = ("-r", "--recursive")


@dataclass(frozen=True, slots=True)
class _Argument:
    """An input, or an option with its value.

    Parameters
    ----------
    words : tuple of str
        As they are written on the command line.
    option : str
        Name of the option; empty for an input.
    value : str
        The input, or the value of the option if it takes one.
    """

    words: tuple[str, ...]
    option: str = ""
    value: str = ""


def choose_commands(
    args: Sequence[str], commands: Mapping[str, click.Command]
) -> list[tuple[str, list[str]]]:
    """Return the commands that a command line without a command means, each with its arguments.

    The inputs decide: pictures belong to `run`, films to `film`, and a folder to both if it holds
    both. An option goes to the commands that have it, and to both if none has it. Standard input
    has no name, so that an option of `film` alone, or a result with the name of a film, decides.

    Parameters
    ----------
    args : sequence of str
    commands : mapping of str to click.Command
        Has `run` and `film`.

    Raises
    ------
    UsageError
        If pictures and films are to go into one file.
    """
    takes_value = {name: _options_of(commands[name]) for name in _COMMANDS}
    arguments = list(_split(args, {**takes_value["film"], **takes_value["run"]}))
    options = {argument.option for argument in arguments if argument.option}
    decisive = {name: takes_value["run"][name] for name in (*_PICTURES_ONLY, "--recursive")}
    options |= {name for name, has_value in decisive.items() if _is_in_variable(name, has_value)}
    inputs = [argument for argument in arguments if not argument.option]
    if not inputs or options & _PICTURES_ONLY:
        return [("run", list(args))]
    if all(as_stream(item.value) == STREAM for item in inputs):
        for_film_only = options & (takes_value["film"].keys() - takes_value["run"].keys())
        to_film = any(has_film_suffix(a.value) for a in arguments if a.option in _OUT)
        return [("film" if for_film_only or to_film else "run", list(args))]
    recursive = bool(options.intersection(_RECURSIVE))
    kinds = {item.value: _commands_for(item.value, recursive) for item in inputs}
    chosen = [name for name in _COMMANDS if any(name in kind for kind in kinds.values())]
    if len(chosen) == 1:
        return [(chosen[0], list(args))]
    for argument in arguments:
        if argument.option in _OUT:
            _check_folder(argument.value)
    return [(name, _arguments_for(name, arguments, kinds, takes_value)) for name in chosen]


def _is_in_variable(option: str, takes_value: bool) -> bool:
    """Tell whether an option is given by its variable."""
    text = os.environ.get(f"{VARIABLE_PREFIX}_{option[2:].replace('-', '_').upper()}", "")
    if takes_value or not text:
        return bool(text)
    try:
        return bool(click.BOOL.convert(text, None, None))
    except click.BadParameter:  # the command reports it
        return True


def _arguments_for(
    command: str,
    arguments: Sequence[_Argument],
    kinds: Mapping[str, Sequence[str]],
    takes_value: Mapping[str, Mapping[str, bool]],
) -> list[str]:
    """Return the arguments that one of two commands gets: its options, then its inputs."""
    words: list[str] = []
    for argument in arguments:
        known = argument.option in takes_value[command]
        if argument.option and (
            known or not any(argument.option in t for t in takes_value.values())
        ):
            words += argument.words
    # Both get all folders, so that they find the same common base of the results.
    inputs = [
        a.value
        for a in arguments
        if not a.option and (command in kinds[a.value] or _is_folder(a.value))
    ]
    return [*words, "--", *inputs]


def _check_folder(out: str) -> None:
    """Raise UsageError if ``-o`` cannot be a folder."""
    if os.path.isdir(out) or out.endswith(("/", os.sep)):
        return
    if out == STREAM or Path(out).suffix:
        raise UsageError(
            f"pictures and films do not fit in {out} together", "name a folder, which ends in /"
        )


def _options_of(command: click.Command) -> dict[str, bool]:
    """Return the names of a command's options, each with whether it takes a value."""
    return {
        name: not option.is_flag
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    } | {"-h": False, "--help": False}


def _split(args: Sequence[str], takes_value: Mapping[str, bool]) -> Iterator[_Argument]:
    """Split a command line as click does; unknown options take no value."""
    rest = iter(args)
    for word in rest:
        if word == "--":
            yield from (_Argument((name,), value=name) for name in rest)
        elif word == STREAM or not word.startswith("-"):
            yield _Argument((word,), value=word)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            following = next(rest, None) if takes_value.get(name) and not equals else None
            words = (word,) if following is None else (word, following)
            yield _Argument(words, name, value if equals else following or "")
        else:
            yield from _split_letters(word, rest, takes_value)


def _split_letters(
    word: str, rest: Iterator[str], takes_value: Mapping[str, bool]
) -> Iterator[_Argument]:
    """Split short options that are written as one word, such as ``-rvo out``."""
    for place in range(1, len(word)):
        name = f"-{word[place]}"
        if not takes_value.get(name):
            yield _Argument((name,), name)
            continue
        value = word[place + 1 :] or next(rest, None)
        yield _Argument((name,) if value is None else (name, value), name, value or "")
        return


def _commands_for(name: str, recursive: bool) -> tuple[str, ...]:
    """Return the commands that an input is for. Without PyAV, folders are for pictures alone."""
    name = local_name(name)
    if not _is_folder(name):
        return ("film",) if is_film(name) else ("run",)
    if not _has_pyav():
        return ("run",)
    pictures = films = False
    for file in _names_in(name, recursive):
        films = films or has_film_suffix(file)
        pictures = pictures or ImageFormat.of_suffix(os.path.splitext(file)[1]) is not None
        if films and pictures:
            break
    return _COMMANDS if films and pictures else ("film",) if films else ("run",)


def _is_folder(name: str) -> bool:
    if not is_address(name):
        return os.path.isdir(local_name(name))
    from recolor_cli.batch.folder_search import is_folder

    return is_folder(name)


def _names_in(folder: str, recursive: bool) -> Iterator[str]:
    """Yield the names of the files in a folder, without hidden ones."""
    if is_address(folder):
        from recolor_cli.system.stores import LISTINGS

        for place in LISTINGS.of_folder(folder, recursive):
            if "/." not in f"/{place}":
                yield place.rpartition("/")[2]
        return
    for _root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield from (name for name in names if not name.startswith("."))


def _has_pyav() -> bool:
    try:
        return find_spec("av") is not None
    except ValueError:  # its import was blocked
        return False
