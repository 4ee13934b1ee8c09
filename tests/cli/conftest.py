"""Fixtures of the command's tests."""

import sys
from functools import cache

import pytest
import typer

from recon_anomaly import cli
from recon_anomaly.cli import main


@pytest.fixture(scope="session", autouse=True)
def one_command():
    """Typer builds the command once, and not for each run of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs the command in this process and returns its code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recon-anomaly", *map(str, arguments)])
        monkeypatch.setattr(cli.warnings, "showwarning", cli.warnings.showwarning)
        code = 0
        with cli.warnings.catch_warnings():
            cli.warnings.simplefilter("default")
            try:
                main()
            except SystemExit as stopped:
                code = stopped.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
