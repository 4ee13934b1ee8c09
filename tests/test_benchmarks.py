"""The benchmarks run, on few pictures; what they measure is for a quiet machine."""

import re
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark with options and return what it printed."""

    def go(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *options])
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        return capsys.readouterr().out

    return go


def test_scoring_is_measured_beside_decoding_and_a_forward_pass(run):
    """The table has the three times, their ratio, the machine and the paper's figure."""
    text = run("scoring.py", "--pictures", "3", "--image-size", "16", "--rounds", "1")
    assert text.startswith("3 pictures of 16x16x1, median of 1 rounds\n")
    a, b, c = (float(ms) for ms in re.findall(r"([\d.]+) ms a picture", text))
    ratio = float(re.search(r"at most 1\.20 +([\d.]+)", text)[1])
    assert ratio == pytest.approx(a / (b + c), abs=0.05 * ratio + 0.01)
    assert "Titan RTX" in text
    assert "torch" in text


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_every_benchmark_is_listed(script):
    """Each script has a row in the folder's README."""
    assert f"`python benchmarks/{script.name}" in (BENCHMARKS / "README.md").read_text()
