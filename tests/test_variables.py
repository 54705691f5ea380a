"""Variables of options: what each command reads, and what is said of misspelt ones."""

import pytest

from conftest import draw, encoded
from recolor_cli.cli import cli, main
from recolor_cli.commands.variables import unknown_variables


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RECOLOR_MODLE", "RECOLOR_MODEL"),
        ("RECOLOR_QUALTY", "RECOLOR_QUALITY"),
        ("RECOLOR_quality", "RECOLOR_QUALITY"),
        ("RECOLOR_SMOOTHNG", "RECOLOR_SMOOTHING"),
        ("RECOLOR_DATA", "RECOLOR_TRAIN_DATA"),
        ("RECOLOR_MODELS_", "RECOLOR_MODELS"),
        ("RECOLOR_XYZ", "docs/options.md"),
    ],
)
def test_a_misspelt_variable_is_told(monkeypatch, recolor, tmp_path, name, meant):
    monkeypatch.setenv(name, "1")
    (message,) = unknown_variables(cli.commands)
    assert name in message
    assert meant in message
    _, err = recolor(tmp_path / "missing.jpg", exit_code=1)
    assert f"warning: {message}" in err
    _, err = recolor(tmp_path / "missing.jpg", "-q", exit_code=1)
    assert "warning" not in err


@pytest.mark.parametrize(
    "name", ["RECOLOR_MODELS", "RECOLOR_SMOOTHING", "RECOLOR_TRAIN_DATA", "RECOLOR_DEMO_OUT"]
)
def test_variables_of_other_commands_are_known(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert unknown_variables(cli.commands) == []


def read_variables(command: str, monkeypatch) -> set[str]:
    """Return the options of a command that take their value from RECOLOR_<OPTION>."""
    found = set()
    names = [option.name for option in cli.commands[command].params if option.name != "help"]
    with cli.make_context("recolor", ["doctor"]) as group:
        for name in names:
            monkeypatch.setenv(f"RECOLOR_{name.upper()}", "1")
        context = cli.commands[command].context_class(
            cli.commands[command], info_name=command, parent=group,
            **cli.commands[command].context_settings,
        )  # fmt: skip
        for option in cli.commands[command].params:
            if option.param_type_name == "option" and option.resolve_envvar_value(context):
                found.add(option.name)
    return found


@pytest.mark.parametrize("command", [name for name in cli.commands if name not in ("run", "film")])
def test_variables_of_a_run_do_not_change_where_other_commands_write(command, monkeypatch):
    common = {"device", "quiet", "verbose", "as_json", "models_", "model"}
    assert read_variables(command, monkeypatch) <= common


def test_a_result_of_the_demo_does_not_go_where_those_of_runs_go(monkeypatch, recolor, tmp_path):
    monkeypatch.setenv("RECOLOR_OUT", str(tmp_path / "runs"))
    monkeypatch.setenv("RECOLOR_DEMO_OUT", str(tmp_path))
    recolor("demo", "--device", "cpu")
    assert (tmp_path / "recolor-demo-recolored.jpg").exists()


def test_a_wrong_value_names_its_variable(monkeypatch, capsys):
    monkeypatch.setenv("RECOLOR_QUALITY", "best")
    monkeypatch.setenv("RECOLOR_DEVICE", "cpu")
    assert main(["x.jpg"]) == 2
    assert "the value comes from the variable RECOLOR_QUALITY" in capsys.readouterr().err
    monkeypatch.delenv("RECOLOR_QUALITY")
    assert main(["x.jpg", "--quality", "best"]) == 2
    assert "variable" not in capsys.readouterr().err


def test_the_variable_of_the_model_has_one_name(monkeypatch, recolor, tmp_path):
    monkeypatch.setenv("RECOLOR_MODEL", str(tmp_path / "my models/mine.onnx"))
    (tmp_path / "a.jpg").write_bytes(encoded(draw()))
    for command in ([], ["evaluate"]):
        _, err = recolor(*command, tmp_path, exit_code=4)
        assert "my models/mine.onnx" in err
