"""The README: its figures are those of the models, and an extra has one name everywhere."""

import json
import re
from pathlib import Path

import pytest

from recolor_cli.commands.models import _FIGURES, _facts_of, _row_of
from recolor_cli.model.registry import DEFAULT_MODEL, available_models, build_path, find_model

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*.md")]


def megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def test_the_readme_lists_the_models_with_the_figures_of_recolor_models():
    section = README.split("\n## Models\n")[1]
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", section, re.MULTILINE)
    found = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    assert found.keys() == available_models().keys()
    titles = [title for _, title, _ in _FIGURES]
    for name, (_, file, *figures) in found.items():
        row = _row_of(_facts_of(name, find_model(name), timed=False))
        assert file.startswith(row[3]), name
        first = row.index(row[3]) + 1
        shown = dict(zip(titles, row[first : first + len(titles)], strict=True))
        assert figures == [shown["L2 / gray"], shown["balanced AuC"]], name


@pytest.mark.parametrize("page", ["README.md", "models/README.md", "models/poster.md"])
def test_the_builds_have_the_sizes_that_the_docs_state(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    poster = find_model("poster")
    sizes = {
        8: r"int8 build(?: for CPUs)?,? ([\d.]+ MB)",
        16: r"float16 build(?: for GPUs)?,? ([\d.]+ MB)",
    }
    for bits, pattern in sizes.items():
        assert re.findall(pattern, text) == [megabytes(build_path(poster, bits))], bits


def test_the_default_is_marked(recolor):
    out, _ = recolor("models")
    marked = [line for line in out.decode().splitlines() if "(default)" in line]
    assert [line.split()[0] for line in marked] == [DEFAULT_MODEL]
    out, _ = recolor("models", "--json")
    models = [json.loads(line) for line in out.splitlines()]
    assert [model["name"] for model in models if model["default"]] == [DEFAULT_MODEL]


def test_an_extra_has_one_name_everywhere():
    sources = [*PAGES, *(ROOT / "recolor_cli").rglob("*.py")]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        if path.name == "CHANGELOG.md":
            continue
        for install in re.findall(r"pip install (?:-e )?'[^']*\[[\w,]+\]'", text):
            # A fresh environment gets the checkout itself.
            assert re.search(r"'(recolor-cli|\.|/.*/recolor)\[", install), (path.name, install)
