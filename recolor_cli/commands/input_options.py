"""Options of `recolor run` that say which inputs are read, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from recolor_cli.commands.completers import files
from recolor_cli.commands.options import (
    add_options,
    cluster_option,
    jobs_option,
    max_pixels_option,
)

_OPTIONS = (
    click.option(
        "--damaged",
        type=click.Choice(["refuse", "keep"]),
        default="refuse",
        show_default=True,
        help="keep recolors what is left of damaged pictures.",
    ),
    max_pixels_option(500_000_000),
    click.option(
        "--files-from",
        metavar="FILE",
        shell_complete=files,
        help="Read inputs from a file, one a line; - is stdin.",
    ),
    click.option(
        "-0",
        "--null",
        is_flag=True,
        help="End names in NUL, not newline: in --files-from and on stdout.",
    ),
    jobs_option,
    cluster_option,
    click.option(
        "--watch", is_flag=True, help="Go on with what arrives in the folders INPUT, until stopped."
    ),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    return add_options(command, *_OPTIONS)
