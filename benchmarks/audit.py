"""What the audit costs: labelled folders joined to one set of links, and audited by the command.

    python benchmarks/audit.py CASTINGS OTHER_GOOD ... --test FOLDER ...

The first folder is a labelled one; the pictures of the next ones join its training pictures, those of
``--test`` its good test pictures. The set is a folder of links, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from recon_anomaly import find_labelled
from recon_anomaly.pictures import list_pictures


def main() -> None:
    """Join, audit, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labelled", type=Path)
    parser.add_argument("training", type=Path, nargs="*")
    parser.add_argument("--test", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    found = find_labelled(options.labelled)
    tested = list(zip(found.test, found.labels, strict=True))
    parts = {
        "train/ok": [*found.train, *_pictures(options.training)],
        "test/ok": [path for path, label in tested if not label] + _pictures(options.test),
        "test/def": [path for path, label in tested if label],
    }
    with tempfile.TemporaryDirectory() as place:
        for part, paths in parts.items():
            folder = Path(place, part)
            folder.mkdir(parents=True)
            for number, path in enumerate(paths):
                (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
        started = time.perf_counter()
        subprocess.run(["recon-anomaly", "audit", place, "--csv", f"{place}/twins.csv"], check=True)
        seconds = time.perf_counter() - started
    counts = ", ".join(f"{len(paths)} in {part}" for part, paths in parts.items())
    print(f"{seconds:.1f} s, reading included: {counts}")


def _pictures(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in list_pictures(folder)]


if __name__ == "__main__":
    main()
