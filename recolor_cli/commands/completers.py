"""Complete the values of options on the tab key."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file or folder."""
    return [CompletionItem(incomplete, type="file")]


def model_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model, or of a file where no model's name begins like that."""
    from recolor_cli.model.registry import available_models

    names = [name for name in available_models() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or files(ctx, param, incomplete)


def known_model_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a network that can be downloaded, or of a file."""
    from recolor_cli.model.registry import PROFILES

    names = [name for name in PROFILES if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or files(ctx, param, incomplete)


def added_model_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model that was added."""
    from recolor_cli.model.registry import added_names

    return [CompletionItem(name) for name in added_names() if name.startswith(incomplete)]


def device_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the kind of a device."""
    names = ("auto", "cpu", "cuda")
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
