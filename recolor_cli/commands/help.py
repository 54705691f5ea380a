"""Lay out help: options in sections, and a first page that fits a screen.

cloup and rich-click have option groups, too, but make ``recolor --help`` slower: 1.6 times its CPU
time with cloup 4.0, which loads `importlib.metadata`, and 2.3 times with rich-click 1.9, which
loads rich (2026-11, click 8.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

OTHER = "Other options"


class SectionedCommand(click.Command):
    """A command whose help lists its options in sections.

    Parameters
    ----------
    sections : mapping of str to sequence of str
        Titles and the names of the parameters below each, in the order of the help. Options that
        no section names come last, below `OTHER`.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section; ``--help`` ends the last one."""
        records = option_records(self, ctx)
        help_option = self.get_help_option(ctx)
        help_record = records.pop(help_option.name or "") if help_option else None
        sections = {
            title: [records.pop(name) for name in names if name in records]
            for title, names in self.sections.items()
        }
        if records:
            sections[OTHER] = list(records.values())
        if help_record:
            list(sections.values())[-1].append(help_record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def option_records(command: click.Command, ctx: click.Context) -> dict[str, tuple[str, str]]:
    """Return each option as it is written and what it does, by the names of the parameters."""
    records = {
        option.name or "": option.get_help_record(ctx)
        for option in command.get_params(ctx)
        if isinstance(option, click.Option)
    }
    return {name: record for name, record in records.items() if record}


def write_first_page(
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
        The command that runs by default.
    most_used : sequence of str
        Parameters of that command.
    topics : mapping of str to sequence of str
        The other commands, by what they are for.
    """
    formatter.write_usage(ctx.command_path, "[OPTIONS] INPUT...")
    formatter.write_usage(ctx.command_path, "COMMAND ...", prefix="   or: ")
    group.format_help_text(ctx, formatter)
    default = group.commands[command]
    with click.Context(default, parent=ctx, info_name=command) as inner:
        records = option_records(default, inner)
    with formatter.section(f"Options most used (all: {ctx.command_path} {command} --help)"):
        formatter.write_dl([records[name] for name in most_used])
    with formatter.section(f"Commands (each: {ctx.command_path} COMMAND --help)"):
        formatter.write_dl([(topic, ", ".join(names)) for topic, names in topics.items()])
