"""Fixtures of the command's tests."""

import sys

import pytest

from recon_anomaly import cli
from recon_anomaly.cli import main


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
