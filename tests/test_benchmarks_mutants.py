"""Mutation testing: which changes are made, how one is put in place, and the command on the smallest module."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut")  # the extra "mutation"
ROOT = Path(__file__).parents[1]
SOURCE = """
from functools import cache

def limit(x):
    if x > 3:
        raise ValueError("too many")
    return x

class Box:
    @property
    def size(self):
        return 1 + 2

@cache
def word():
    return "a"

kept = [limit]
"""


@pytest.fixture
def mutants(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("mutants")


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """A module of a function, a property and a cached function, and its file."""
    path = tmp_path / "boxes_to_change.py"
    path.write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("boxes_to_change"), path
    del sys.modules["boxes_to_change"]


def changed(mutants, path):
    module, changes = mutants.mutants_of(path)
    return [
        mutants.Mutant(path, name, module.code, module.deep_replace(before, after).code)
        for name, before, after in changes
    ]


def test_what_a_message_says_is_not_changed(mutants, boxes):
    """Conditions, numbers and words are, those of decorated functions too; each change is one."""
    found = changed(mutants, boxes[1])
    assert {mutant.function for mutant in found} == {"limit", "Box.size", "word"}
    sources = [mutant.after for mutant in found]
    assert not any("XXtoo" in source or "TOO" in source for source in sources)
    assert any("x >= 3" in source for source in sources)
    assert any("1 - 2" in source for source in sources)
    assert any('"XXaXX"' in source for source in sources)
    assert all(source != mutant.before for source, mutant in zip(sources, found, strict=True))


def test_a_change_is_put_in_place_wherever_the_function_is_kept(mutants, boxes):
    """In a list, behind a property and behind a decorator; what is put back is as before."""
    module, path = boxes
    wanted = {"x >= 3": "limit", "1 - 2": "Box.size", '"XXaXX"': "word"}
    for words, function in wanted.items():
        mutant = next(one for one in changed(mutants, path) if words in one.after)
        assert mutant.function == function
        mutants.put_in_place(mutant, vars(module))
    with pytest.raises(ValueError, match="too many"):
        module.kept[0](3)
    assert module.Box().size == -1
    assert module.word() == "XXaXX"
    mutants.put_in_place(mutants.Mutant(path, "limit", SOURCE, SOURCE), vars(module))
    assert module.kept[0](3) == 3


@pytest.mark.slow
def test_the_command_counts_what_was_noticed():
    """Of the smallest module one change in four at most survives; the one that changes nothing does, and is shown."""
    command = [sys.executable, "benchmarks/mutants.py", "src/recon_anomaly/ramps.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    row = re.search(r"\| ramps \| (\d+) \| (\d+) \| (\d+) \(\d+%\) \| (\d+) \| 0 \|", done.stdout)
    assert row, done.stdout + done.stderr
    made, run, killed, survived = map(int, row.groups())
    assert made == run == killed + survived
    assert 1 <= survived <= made / 4
    assert "+    if steepness <= 1e-6" in done.stdout
