"""The command ``recon-anomaly``: fit, score, audit, bench, plugins.

Data goes to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted. Everything heavy is imported inside the commands.
"""

from __future__ import annotations

import io
import sys
import warnings

from recon_anomaly.errors import PluginError, ReconAnomalyError

from .app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors of users end it with one line and no traceback."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may be any bytes
            stream.reconfigure(errors="surrogateescape")
    try:
        app()
    except PluginError as error:  # a name on the command line that nobody offers
        _say(f"error: {error}")
        sys.exit(2)
    except ReconAnomalyError as error:
        _say(f"error: {error}")
        sys.exit(1)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say(f"warning: {message}")
