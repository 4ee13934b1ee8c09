"""The command ``recon-anomaly``: fit, score, threshold, report, watch, serve, export, audit, bench, plugins.

Data goes to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted, 143 ended by SIGTERM. Everything heavy is imported inside the commands.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from pathlib import Path

from recon_anomaly.errors import PluginError, ReconAnomalyError

from .app import app
from .interrupts import WORDS, Told, terminate
from .plain import plain

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors of users end it with one line and no traceback."""
    streams = sys.stdout, sys.stderr
    warnings.showwarning = _show_warning
    rank = os.environ.get("RANK", "0") if "TORCHELASTIC_RUN_ID" in os.environ else "0"
    if rank != "0":
        # Of the processes that torchrun starts the first one talks, and each of its errors.
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # to the end
    for stream in {*streams, sys.stdout, sys.stderr}:
        if isinstance(stream, io.TextIOWrapper):  # a file's name may be any bytes
            stream.reconfigure(errors="surrogateescape")
    before = signal.getsignal(signal.SIGTERM)
    # As an exception, so that temporary files and branches go with the process; under torchrun one
    # that waits for others would not hear it.
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        signal.signal(signal.SIGTERM, terminate)
    try:
        app()
    except ReconAnomalyError as error:
        place = "" if rank == "0" else f"rank {rank}: "
        print(f"{place}error: {plain(str(error))}", file=streams[1], flush=True)
        # 2 is for a name on the command line that nobody offers.
        sys.exit(2 if isinstance(error, PluginError) else 1)
    except (KeyboardInterrupt, SystemExit) as ended:
        code = 130 if isinstance(ended, KeyboardInterrupt) else ended.code
        if code in WORDS and not isinstance(ended, Told):
            print(WORDS[code], file=streams[1], flush=True)
        sys.exit(code)
    finally:
        sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGTERM, before)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {plain(str(message))}", file=sys.stderr)
