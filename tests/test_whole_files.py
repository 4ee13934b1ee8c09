"""Every writer of the library on real disks: full, read-only, vanishing; what was there stays as it was."""

import ast
import json
import resource
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import recon_anomaly
from recon_anomaly import ReconstructionDetector, SavedFileError
from recon_anomaly.cli.scoring import _save_png, _write
from recon_anomaly.ledger import Ledger
from recon_anomaly.snapshots import read_snapshot, write_snapshot
from recon_anomaly.writing import whole_file

SOURCE = Path(recon_anomaly.__file__).parent


def checkpoint(path):
    write_snapshot(path, {"weights": torch.arange(9000.0)})


def detector(path):
    pictures = np.random.default_rng(0).integers(0, 256, (9, 24, 24, 1), np.uint8)
    found = ReconstructionDetector(model="pca", model_params={"n_components": 4}).fit(pictures)
    found.save(path)


def records(path):
    ledger = Ledger(None, False)
    ledger.out = path  # what is there before is no record
    ledger.keep({"key": "a", "scores": [*range(9000)]})


def table(path):
    row = {"path": "x" * 9000, "score": 1, "decision": 1, "label": "good", "p_value": 1}
    _write(lambda: iter([row] * 9), path, as_json=False)


def heat_map(path):
    noise = np.random.default_rng(0).integers(0, 256, (120, 120), np.uint8)
    _save_png(Image.fromarray(noise), path)


WRITERS = [checkpoint, detector, records, table, heat_map]
"""Each writes more than 8 kB to the path that it is given."""


def mounted(folder, *options):
    """A small disk of its own, where this process may mount one."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this process may not mount a file system")


@pytest.fixture
def disk(tmp_path):
    """An empty disk of 64 kB, on which nothing was written yet."""
    (folder := tmp_path / "disk").mkdir()
    try:
        mounted(folder, "-o", "size=64k")
        yield folder
    finally:
        subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file(writer, old, disk):
    """The error names the path and says that there is no space; nothing half is left."""
    path = disk / "a.bin"
    if old is not None:
        path.write_bytes(old)
    (disk / "filler").write_bytes(bytes(52_000))
    with pytest.raises(SavedFileError, match=rf"cannot write {path}: .*No space left on device"):
        writer(path)
    assert {name.name for name in disk.iterdir()} - {"a.bin"} == {"filler"}
    assert path.read_bytes() == old if old else not path.exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_disk_leaves_the_old_file(writer, disk):
    """Also for root, whom no mode stops."""
    path = disk / "a.bin"
    path.write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(SavedFileError, match=rf"cannot write {path}: Read-only file system"):
        writer(path)
    assert [name.name for name in disk.iterdir()] == ["a.bin"]


@contextmanager
def limited(size):
    """No file may become larger than so many bytes, as with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_that_is_cut_leaves_the_old_file(writer, tmp_path):
    """A limit in the midst of the file does what a full disk does, without the right to mount one."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with limited(8000), pytest.raises(SavedFileError, match=rf"{path}: .*File too large"):
        writer(path)
    assert path.read_bytes() == b"old"
    assert [name.name for name in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_replaces_what_was_there(writer, tmp_path):
    """Where nothing fails, the old file is gone and the new one has more than what the tests cut off."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    writer(path)
    assert path.stat().st_size > 8000
    assert path.read_bytes()[:3] != b"old"
    assert [name.name for name in tmp_path.iterdir()] == ["a.bin"]


WRITES = {"write_text", "write_bytes", "savefig", "save_file", "save", "dump", "tofile", "savez"}
ELSEWHERE = {
    "snapshots.write_snapshot": "torch.save to memory",
    "saving.from_bytes": "in a temporary folder",
    "htmlreport/tiles": "pictures for the page, to memory",
    "cli/__init__.main": "the null device",
    "logbook.Logbook": "appended to and synced; a torn last line is cut off when it is opened",
}
"""Writes that are not to a user's file, and why."""


def test_nothing_is_written_but_by_whole_file():
    """Whatever opens a file to write does so inside `with whole_file(...) as temporary`."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = str(path.relative_to(SOURCE).with_suffix(""))
        for part in ast.parse(path.read_text()).body:
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                place = f"{module}.{part.name}"
                if not any(place.startswith(known) for known in ELSEWHERE):
                    found += [f"{place}: {text}" for text in written_in(part)]
    assert found == []


def written_in(part):
    """Give the calls of a function or class that write a file which is not called "temporary"."""
    for call in ast.walk(part):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        modes = "".join(str(word.value) for word in call.args if isinstance(word, ast.Constant))
        writes = name in WRITES or (name == "open" and set(modes) & set("wax+"))
        names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        # A detector's own save is the one below saving.save, and a snapshot's that of write_snapshot.
        delegates = names & {"detector", "checkpoint", "snapshots", "self"} and name == "save"
        if writes and not delegates and "temporary" not in names:
            yield ast.unparse(call)


def test_the_search_for_writers_finds_them():
    """What the test above would miss is no proof."""
    for text in ("p.write_text('a')", "open(p, 'wb')", "figure.savefig(path)", "np.save(p, a)"):
        (function,) = ast.parse(f"def f():\n    {text}\n").body
        assert [*written_in(function)] == [ast.unparse(ast.parse(text))]
    (function,) = ast.parse("def f():\n    temporary.write_text('a')\n").body
    assert [*written_in(function)] == []


def test_what_a_snapshot_holds_is_checked_when_it_is_read(tmp_path):
    """One byte that another process, or the disk, has changed is seen, wherever it stands."""
    path = tmp_path / "a.pt"
    write_snapshot(path, {"weights": torch.arange(9.0)})
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(SavedFileError, match="its checksum does not fit"):
            read_snapshot(path)


def test_two_writers_never_show_half_a_file(tmp_path):
    """While two threads replace a file again and again, whoever reads it finds one of the two, whole."""
    path = tmp_path / "a.json"
    texts = [json.dumps([number] * 5000) for number in (1, 2)]

    def write(text):
        for _ in range(30):
            with whole_file(path) as temporary:
                temporary.write_text(text)

    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(write, text) for text in texts]
        seen = set()
        while not all(one.done() for one in writing):
            if path.exists():
                seen.add(path.read_text())
        for one in writing:
            one.result()
    assert seen <= set(texts)
    assert seen
    assert [name.name for name in tmp_path.iterdir()] == ["a.json"]
