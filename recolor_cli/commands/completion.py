"""Complete file and model names in the shell.

`click` completes commands and options itself and prints the script that a shell needs:
``_RECOLOR_COMPLETE=bash_source recolor``, likewise ``zsh_source`` and ``fish_source``.
"""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the item that makes the shell complete file and folder names itself."""
    return [CompletionItem(incomplete, type="file")]


def model_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the models whose name begins so; if there are none, let the shell complete files."""
    from recolor_cli.model.registry import available_models

    names = [name for name in available_models() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or files(ctx, param, incomplete)
