"""docs/options.md lists the options of `run` and `film`, all of them and no others."""

import re
from pathlib import Path

import click
import pytest

from recolor_cli.cli import cli

PAGE = (Path(__file__).parents[1] / "docs/options.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(command: str) -> list[list[str]]:
    """Return the cells of the rows that list an option."""
    lines = section(f"Options of `recolor {command}`").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| `-")]


def options_of(command: str) -> list[click.Option]:
    return [option for option in cli.commands[command].params if isinstance(option, click.Option)]


@pytest.mark.parametrize("command", ["run", "film"])
def test_the_manual_has_the_options_of_a_command(command):
    first_cells = [cells[0] for cells in rows(command)]
    prose = [
        line
        for line in section(f"Options of `recolor {command}`").splitlines()
        if line.startswith("`-")  # those that films share with pictures
    ]
    documented = set(re.findall(r"`(--?[a-zA-Z0-9-]+)", " ".join(first_cells + prose)))
    expected = {name for option in options_of(command) for name in option.opts}
    assert documented == expected | {"-h", "--help"}


@pytest.mark.parametrize("command", ["run", "film"])
def test_the_manual_has_the_defaults_of_a_command(command):
    stated = {
        re.findall(r"--[a-z-]+", cells[0])[0]: cells[-1].strip("`") for cells in rows(command)
    }
    for option in options_of(command):
        if option.show_default and option.opts[-1] in stated:
            default = option.default
            text = default if isinstance(default, str) else f"{default:,}".removesuffix(".0")
            assert stated[option.opts[-1]] == text


def test_the_manual_has_all_commands():
    listed = set(re.findall(r"`recolor ([a-z]+)`", section("Other commands")))
    assert listed | {"run", "film"} == set(cli.commands)
