"""What is drawn of a training while it runs."""

import io

import pytest
from rich.console import Console

from recon_anomaly.auto import Tried
from recon_anomaly.cli import progress
from recon_anomaly.history import EpochRecord
from recon_anomaly.training import Tick

EVENTS = [
    Tick(0, 2, 3, 4),
    Tick(1, 2, 5, 5),
    EpochRecord(1, {"mse": 0.5}, {"mse": 0.25}, {"mse": 1.0}, 1e-3),
    Tick(2, 2, 1, 5, "a"),
    Tried("pca", {}, 2.0, {"mse": 0.9}),
]


@pytest.mark.parametrize("terminal", [True, False])
def test_every_event_is_drawn_and_handed_on(terminal, monkeypatch):
    """On a terminal the frozen part, the epoch with its branch and the losses are told; a candidate is in both."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    drawn = []
    for event in progress.followed(iter(EVENTS), "parts", 2):
        drawn.append(event)
        for live in console._live_stack:
            live.refresh()
    assert drawn == EVENTS
    said = text.getvalue()
    assert EVENTS[-1].line() in said
    for words in ("parts frozen part", "parts epoch 1/2", "parts epoch 2/2 a", "mse 0.25"):
        assert (words in said) == terminal, words
    assert (EVENTS[2].line(2) in said) != terminal
