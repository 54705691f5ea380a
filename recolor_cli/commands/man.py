"""`recolor man`: the manual page, made of the same text as the help."""

from __future__ import annotations

import re
from importlib import metadata

import click

from recolor_cli.commands.help import record, sections_of
from recolor_cli.commands.options import SETTINGS
from recolor_cli.errors import ExitCode

_EXIT_STATUS = {
    ExitCode.OK: "All done, or skipped because it was done before.",
    ExitCode.SOME_FAILED: "Some inputs failed (also when there was only one).",
    ExitCode.USAGE: "The command line does not make sense.",
    ExitCode.NO_INPUTS: "Nothing matched.",
    ExitCode.MODEL: "The model is missing, or not fit to run.",
    ExitCode.DEVICE: "The requested device cannot be used.",
    ExitCode.BUG: "A bug in recolor: please report it.",
    ExitCode.INTERRUPTED: "Interrupted.",
}


@click.command(context_settings=SETTINGS)
@click.pass_context
def man(ctx: click.Context) -> ExitCode:
    """Print the manual page: recolor man | man -l -."""
    from recolor_cli.terminal.console import Console

    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    Console().data(page(root.command).rstrip("\n"))
    return ExitCode.OK


def page(group: click.Group) -> str:
    """Return the manual page of the program, in the man macros of roff."""
    version = metadata.version("recolor-cli")
    with click.Context(group, info_name="recolor") as ctx:
        lines = [
            f'.TH RECOLOR 1 "" "recolor {version}" "User Commands"',
            ".SH NAME",
            f"recolor \\- {_escaped(_first_sentence(group))}",
            ".SH SYNOPSIS",
            ".B recolor",
            "[\\fIOPTIONS\\fR] \\fIINPUT\\fR...",
            ".br",
            ".B recolor",
            "\\fICOMMAND\\fR ...",
            ".SH DESCRIPTION",
            *_text(group),
        ]
        default = group.commands["run"]
        with click.Context(default, parent=ctx, info_name="run") as inner:
            lines += _text(default)
            for title, options in sections_of(default, inner):
                lines += [f'.SH "{_escaped(title.upper())}"', *_options(options, inner)]
        lines.append(".SH COMMANDS")
        for name in group.list_commands(ctx):
            command = group.commands[name]
            if command is default:
                continue
            with click.Context(command, parent=ctx, info_name=name) as inner:
                usage = " ".join(command.collect_usage_pieces(inner))
                lines += [f'.SS "recolor {name} {_escaped(usage)}"', *_text(command)]
                for _, options in sections_of(command, inner):
                    lines += _options(options, inner)
    lines.append(".SH EXIT STATUS")
    for code, meaning in _EXIT_STATUS.items():
        lines += [".TP", f".B {code.value}", meaning]
    lines += [
        ".SH ENVIRONMENT",
        "Every option of \\fBrecolor run\\fR can be set as a variable: \\fBRECOLOR_MODEL\\fR,",
        "\\fBRECOLOR_QUALITY\\fR and so on. \\fBRECOLOR_MODELS\\fR names a folder of models,",
        "\\fBNO_COLOR\\fR takes the color from messages.",
        ".SH EXAMPLES",
    ]
    for line in _examples(group):
        lines += [".PP", ".nf", _escaped(line), ".fi"]
    return "\n".join(lines) + "\n"


def _first_sentence(command: click.Command) -> str:
    text = (command.help or "").split("\n\n")[0].strip().rstrip(".")
    return text[0].lower() + text[1:]


def _text(command: click.Command) -> list[str]:
    """Return a command's help as paragraphs; what is laid out stays as it is."""
    lines: list[str] = []
    for paragraph in _paragraphs(command):
        if paragraph.startswith("\b"):
            body = [_escaped(line) for line in paragraph.splitlines()[1:]]
            lines += [".PP", ".nf", *body, ".fi"]
        else:
            lines += [".PP", _escaped(" ".join(paragraph.split()))]
    return lines


def _examples(group: click.Group) -> list[str]:
    """Return the lines of the group's help that are laid out."""
    laid_out = [part for part in _paragraphs(group) if part.startswith("\b")]
    return [line.strip() for part in laid_out for line in part.splitlines()[1:]]


def _paragraphs(command: click.Command) -> list[str]:
    import inspect

    return inspect.cleandoc(command.help or "").split("\n\n")


def _options(options: list[click.Option], ctx: click.Context) -> list[str]:
    lines = []
    for option in options:
        if option.is_eager:  # --help, which needs no manual
            continue
        names, meaning = record(option, ctx)
        styled = re.sub(r"(?<![\w-])(--?[\w-]+)", r"\\fB\1\\fR", names)
        lines += [".TP", styled.replace("-", "\\-"), _escaped(" ".join(meaning.split()))]
    return lines


def _escaped(text: str) -> str:
    """Return text of which roff makes nothing else; hyphens are those of a keyboard."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith((".", "'")) else text
