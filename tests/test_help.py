import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from recolor_cli.cli import cli
from recolor_cli.commands.help import OTHER, sections_of
from recolor_cli.commands.man import page
from recolor_cli.commands.run import run

ROOT = Path(__file__).parents[1]


def test_the_first_page_fits_a_screen_and_begins_with_what_is_used_most(recolor, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out, _ = recolor("--help")
    lines = out.decode().splitlines()
    assert len(lines) < 24  # and the prompt
    assert max(map(len, lines)) <= 80
    options = [line.split()[0] for line in lines if line.startswith("  -")]
    assert options == ["-o,", "-r,", "-m,", "--strength", "--overwrite"]
    for name in cli.commands:
        assert name == "run" or f" {name}" in out.decode()


def test_the_help_of_a_run_has_each_option_in_a_section(recolor):
    with click.Context(run) as context:
        sections = dict(sections_of(run, context))
    assert OTHER not in sections
    listed = [option for options in sections.values() for option in options]
    assert len(listed) == len({option.name for option in listed})
    assert {name for names in run.sections.values() for name in names} <= {o.name for o in listed}
    out, _ = recolor("run", "--help")
    for title in (*sections, "--watch", "-h, --help"):
        assert title in out.decode()


def test_the_manual_page_is_the_one_that_the_program_makes(recolor):
    out, _ = recolor("man")
    stored = (ROOT / "docs" / "recolor.1").read_bytes()
    assert out == stored, "make it anew: python -m recolor_cli man > docs/recolor.1"
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    data = config["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert data["docs/recolor.1"] == "share/man/man1/recolor.1"


def test_the_manual_page_has_all_that_the_help_has():
    text = page(cli).replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
    for name, command in cli.commands.items():
        assert name == "run" or f'.SS "recolor {name} ' in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[-1] in text
    assert "\n.B 130\n" in text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no man")
def test_the_manual_page_is_sound_roff():
    if not shutil.which("man"):
        pytest.skip("there is no man here")
    done = subprocess.run(
        ["man", "--warnings", "-l", ROOT / "docs" / "recolor.1"],
        capture_output=True, text=True, env={"MANWIDTH": "80", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if "RECOLOR(1)" not in done.stdout:
        pytest.skip("man shows no pages here")
    assert done.stderr == ""
    assert "--temperature" in done.stdout
