"""The environment variables of options, and warnings of misspelt ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import click

VARIABLE_PREFIX = "RECOLOR"
_CLOSE = 0.55  # similarity, 0..1; RECOLOR_DATA is so close to RECOLOR_TRAIN_DATA
_WARNED = "recolor.warned"  # in a context: the warnings were printed
_OTHERS = ("RECOLOR_MODELS",)  # variables of no option


def warn_of_unknown_variables(ctx: click.Context) -> None:
    """Warn of each variable RECOLOR_* that nothing reads, because it may be misspelt; only once.

    Parameters
    ----------
    ctx : click.Context
        Of a command of the program.
    """
    root = ctx.find_root()
    # Two commands may run after each other. In shell completion, parsing is resilient.
    if not isinstance(root.command, click.Group) or _WARNED in root.meta or ctx.resilient_parsing:
        return
    root.meta[_WARNED] = True
    for message in unknown_variables(root.command.commands):
        from recolor_cli.terminal.console import Console

        Console().warn(message)


def unknown_variables(commands: Mapping[str, click.Command]) -> list[str]:
    """Return a message for each variable RECOLOR_* that none of the commands reads."""
    names = sorted(name for name in os.environ if name.startswith(f"{VARIABLE_PREFIX}_"))
    if not names:
        return []
    known = {name.removeprefix(f"{VARIABLE_PREFIX}_"): name for name in _known_variables(commands)}
    messages = []
    for name in names:
        end = name.removeprefix(f"{VARIABLE_PREFIX}_")
        if end not in known:
            near = get_close_matches(end.upper(), known, 1, cutoff=_CLOSE)
            advice = f"did you mean {known[near[0]]}?" if near else "docs/options.md lists them"
            messages.append(f"the variable {name} has no effect; {advice}")
    return messages


def _known_variables(commands: Mapping[str, click.Command], outer: str = "") -> Iterator[str]:
    """Yield the variables of all options of all commands, and of those within them."""
    yield from _OTHERS
    for name, command in commands.items():
        if isinstance(command, click.Group):
            yield from _known_variables(command.commands, f"{name}_")
        own_prefix = f"{VARIABLE_PREFIX}_{outer}{name}".upper()
        prefix = command.context_settings.get("auto_envvar_prefix", own_prefix)
        for option in command.params:
            if isinstance(option, click.Option) and option.name:
                yield f"{prefix}_{option.name.upper()}"
                if isinstance(option.envvar, str):
                    yield option.envvar
