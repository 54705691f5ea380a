"""The packages of color arithmetic take arrays and return arrays: they open no files."""

import ast
from pathlib import Path

import pytest

import recolor_cli

PACKAGE = Path(recolor_cli.__file__).parent
MODULES = [
    path
    for folder in ("color", "guidance")
    for path in sorted((PACKAGE / folder).glob("*.py"))
    # These read what users name, the included palettes, and the names of colors, from Pillow.
    if path.stem not in ("hint_files", "palette_files", "palette_bank", "color_texts")
]
ALLOWED = {
    "__future__", "collections", "concurrent", "cv2", "dataclasses", "functools", "math", "numpy",
    "re", "typing",
}  # fmt: skip
ALLOWED_OF_OURS = ("color", "guidance", "types", "errors")
OPENING = {"open", "imread", "imwrite", "load", "save", "fromfile", "tofile", "loadtxt", "memmap"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_module_of_arithmetic_opens_no_files(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            top, _, rest = (node.module or "").partition(".")
            assert top in ALLOWED or rest.partition(".")[0] in ALLOWED_OF_OURS, node.module
            assert not rest.endswith("_files"), node.module
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert name not in OPENING, ast.unparse(node)
