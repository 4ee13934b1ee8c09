"""The project's habits: what README and docs promise, held by a test."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_every_test_says_what_it_holds(path):
    """Each test has a docstring, its first line a sentence."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            assert first.endswith("."), f"{path.name}::{node.name}"


def test_dependencies_have_no_upper_caps():
    """A requirement says what is needed at the least, never at the most."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(need for extra in extras for need in extra)]:
        assert re.fullmatch(r"[A-Za-z0-9_-]+(\[\w+\])?>=[0-9.]+", requirement)
