"""`recolor palettes`: the palettes that --palette can name."""

from __future__ import annotations

import click

from recolor_cli.commands.options import SETTINGS, json_option
from recolor_cli.errors import ExitCode


@click.command(context_settings=SETTINGS)
@json_option
def palettes(as_json: bool) -> ExitCode:
    """List the palettes that --palette can name, with their main colors.

    Those of periods hold what is typical of the film posters of that time.
    """
    from recolor_cli.guidance.palette_bank import DESCRIPTIONS, main_colors, named_palette
    from recolor_cli.terminal.console import Console, Swatch

    console = Console()
    rows: list[tuple[str, Swatch, str]] = []
    for name, description in DESCRIPTIONS.items():
        colors = main_colors(named_palette(name))
        if as_json:
            console.json({"name": name, "colors": colors, "description": description})
        rows.append((name, Swatch(tuple(colors)), description))
    if not as_json:
        console.table(("name", "main colors", "of"), rows)
    return ExitCode.OK
