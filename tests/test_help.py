import click
import pytest

from recolor_cli.cli import cli
from recolor_cli.commands.help import OTHER, option_records
from recolor_cli.commands.run import run


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


def test_the_help_of_a_run_has_each_option_once_in_a_section(recolor):
    out, _ = recolor("run", "--help")
    lines = out.decode().splitlines()
    assert [title for title in run.sections if f"{title}:" not in lines] == []
    assert f"{OTHER}:" not in lines
    with click.Context(run, info_name="run") as context:
        records = option_records(run, context)
    in_sections = [name for names in run.sections.values() for name in names]
    assert len(in_sections) == len(set(in_sections))
    assert len(set(records) - set(in_sections)) == 1  # --help
    for names, _ in records.values():
        assert len([line for line in lines if line.strip().startswith(names)]) == 1, names
    assert "-h, --help" in lines[-1]


def test_an_option_that_no_section_names_comes_last():
    parameters = [click.Option([f"--{name}"], help=name) for name in ("one", "two")]
    command = type(run)("x", params=parameters, sections={"First": ["two"]})
    with click.Context(command) as context:
        text = command.get_help(context)
    assert text.index("First:") < text.index("--two") < text.index(f"{OTHER}:")
    assert text.index(f"{OTHER}:") < text.index("--one") < text.index("--help")


@pytest.mark.filterwarnings("ignore:.*make_default_short_help:DeprecationWarning")
def test_click_man_finds_every_command(tmp_path):
    from click_man.core import write_man_pages

    write_man_pages("recolor", cli, version="1.0", target_dir=str(tmp_path))
    for name, command in cli.commands.items():
        page = (tmp_path / f"recolor-{name}.1").read_text()
        assert f".B recolor {name}" in page
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[-1].replace("-", r"\-") in page
