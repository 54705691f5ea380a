"""`recolor completion`: what a shell asks for when the tab key is pressed."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from recolor_cli.commands.options import SETTINGS
from recolor_cli.errors import ExitCode

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> ExitCode:
    """Print what makes SHELL complete commands, options, models, formats and devices.

    \b
    bash: recolor completion bash > ~/.local/share/bash-completion/completions/recolor
    zsh:  recolor completion zsh > ~/.zfunc/_recolor    (a folder of $fpath)
    fish: recolor completion fish > ~/.config/fish/completions/recolor.fish
    """  # noqa: D301
    from recolor_cli.terminal.console import Console

    # The text alone: click's own source() runs bash to see how old it is.
    found = _SHELLS[shell](ctx.find_root().command, {}, "recolor", "_RECOLOR_COMPLETE")
    Console().data((found.source_template % found.source_vars()).strip())
    return ExitCode.OK
