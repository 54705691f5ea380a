"""How help is laid out: options in sections, and a first page that fits a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

OTHER = "Other options"


class Sectioned(click.Command):
    """A command whose help lists its options in sections.

    Parameters
    ----------
    sections : mapping of str to sequence of str
        Titles, and the names of the parameters below each, in this order; what is named in none
        comes last.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        for title, options in sections_of(self, ctx):
            with formatter.section(title):
                formatter.write_dl([record(option, ctx) for option in options])


def sections_of(command: click.Command, ctx: click.Context) -> list[tuple[str, list[click.Option]]]:
    """Return a command's options that have a help, in sections."""
    shown = [p for p in command.get_params(ctx) if isinstance(p, click.Option) and not p.hidden]
    options = {option.name: option for option in shown if not option.is_eager}
    always = [option for option in shown if option.is_eager]  # --help
    if not isinstance(command, Sectioned):
        return [("Options", [*options.values(), *always])]
    found = []
    for title, names in command.sections.items():
        found.append((title, [options.pop(name) for name in names if name in options]))
    if options:
        found.append((OTHER, list(options.values())))
    found[-1][1].extend(always)
    return found


def record(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """Return an option as it is written, and what it does."""
    found = option.get_help_record(ctx)
    assert found
    return found


def first_page(
    group: click.Group,
    ctx: click.Context,
    formatter: click.HelpFormatter,
    command: str,
    most_used: Sequence[str],
    topics: Mapping[str, Sequence[str]],
) -> None:
    """Write a group's help so that it fits a screen: one command's options, and all names.

    Parameters
    ----------
    command : str
        The one that runs by default.
    most_used : sequence of str
        Names of its options.
    topics : mapping of str to sequence of str
        What the other commands are for; those named in none come last.
    """
    formatter.write_usage(ctx.command_path, "[OPTIONS] INPUT...")
    formatter.write_usage(ctx.command_path, "COMMAND ...", prefix="   or: ")
    group.format_help_text(ctx, formatter)
    default = group.commands[command]
    with click.Context(default, parent=ctx, info_name=command) as inner:
        options = {o.name: o for _, some in sections_of(default, inner) for o in some}
        with formatter.section(f"Options most used (all: {ctx.command_path} {command} --help)"):
            formatter.write_dl([record(options[name], inner) for name in most_used])
    left = [name for name in group.list_commands(ctx) if name != command]
    rows = []
    for topic, names in topics.items():
        rows.append((topic, ", ".join(name for name in names if name in left)))
        left = [name for name in left if name not in names]
    if left:
        rows.append(("more", ", ".join(left)))
    with formatter.section(f"Commands (each: {ctx.command_path} COMMAND --help)"):
        formatter.write_dl(rows)
