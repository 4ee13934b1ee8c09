"""Folders of strangers: names, links, permissions, and files that change while they are read."""

from __future__ import annotations

import csv
import os
import tempfile
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, find_labelled
from recon_anomaly.errors import InputError, PictureError
from recon_anomaly.folders import check_folder, is_folder
from recon_anomaly.pictures import list_pictures, read_pictures

HOSTILE = [
    "=1+1.png",
    "-rf.png",
    "@a.png",
    "\t.png",
    "a\nb.png",
    "a\rb.png",
    "büro 🙂.png",
    os.fsdecode(b"\xff\xfe.png"),
    "a;b,c\"d'.png",
    "\x1b[31mred.png",
    "x" * 200 + ".png",
]

posix = pytest.mark.skipif(os.name != "posix", reason="such names and rights are POSIX's")


@pytest.fixture
def as_nobody():
    """A folder that anybody may enter, and a function after which this process is nobody in particular."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        root = os.geteuid() == 0
        try:
            yield folder, (lambda: os.seteuid(65_534)) if root else (lambda: None)
        finally:
            if root:
                os.seteuid(0)
            for path in folder.rglob("*"):
                if path.is_dir():
                    path.chmod(0o700)


@posix
def test_every_name_is_listed_read_and_named_in_messages(tmp_path, gray):
    """Line feeds, emoji, bytes that are no UTF-8, and what shells or spreadsheets take for something else."""
    for number, name in enumerate(HOSTILE):
        Image.fromarray(gray(number)).save(tmp_path / name)
    paths = list_pictures(tmp_path)
    assert {path.name for path in paths} == set(HOSTILE)
    store = read_pictures(paths, image_size=None)
    for path, pixels in zip(paths, store.batch(slice(None)), strict=True):
        assert np.array_equal(pixels[..., 0], gray(HOSTILE.index(path.name)))
    for path in paths:
        path.write_text("no picture")
    with pytest.raises(PictureError) as caught:
        read_pictures(paths)
    assert str(paths[0]) in str(caught.value)


@posix
def test_every_name_comes_back_from_the_table_of_scores(tmp_path, good, monkeypatch):
    """Of files that are named without their folder, too; no cell begins as a formula does."""
    from recon_anomaly.cli import main

    detector = ReconstructionDetector("mean", image_size=16, device="cpu").fit(good)
    detector.save(tmp_path / "a.safetensors")
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    for number, name in enumerate(HOSTILE):
        Image.fromarray(good[number, ..., 0]).save(name)
    command = ["recon-anomaly", "score", "../a.safetensors", "--csv", "../a.csv", "--maps", "../m"]
    monkeypatch.setattr("sys.argv", [*command, "--", *HOSTILE])
    with suppress(SystemExit):
        main()
    with Path("../a.csv").open(errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]) for row in rows] == list(map(Path, HOSTILE))
    assert [float(row["score"]) for row in rows] == detector.anomaly_score(
        list(map(Path, HOSTILE))
    ).tolist()
    assert not [row for row in rows if row["path"][0] in "=+-@\t\r"]
    assert {path.name for path in Path("../m").iterdir()} == {f"{name}.png" for name in HOSTILE}


@posix
def test_links_that_lead_nowhere_or_in_circles_end(tmp_path, gray, save):
    """Circles of folders are walked once; a file that links to itself, or to nothing, is named."""
    save("a.png", gray())
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "two").symlink_to(tmp_path / "one", target_is_directory=True)
    (tmp_path / "one" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "ping").symlink_to(tmp_path / "pong")
    (tmp_path / "pong").symlink_to(tmp_path / "ping")
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "missing.png")
    paths = list_pictures(tmp_path)
    assert [path.name for path in paths] == ["a.png", "b.png", "c.png"]
    store = read_pictures(paths, on_error="skip")
    reasons = {path.name: reason for path, reason in store.skipped}
    assert set(reasons) == {"b.png", "c.png"}
    assert "symbolic links" in reasons["b.png"]
    assert reasons["c.png"] == "it does not exist"
    with pytest.raises(InputError, match="self"):
        list_pictures(tmp_path / "self")


@posix
def test_hidden_empty_and_special_files(tmp_path, gray, save):
    """Hidden ones are left out, empty ones named, and a pipe is not waited for."""
    for name in (".a.png", ".git/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(name, gray())
    save("c.png", gray())
    (tmp_path / "d.png").touch()
    os.mkfifo(tmp_path / "e.png")
    (tmp_path / "f.png").symlink_to("/dev/zero")
    store = read_pictures(list_pictures(tmp_path), on_error="skip")
    assert [path.name for path in store.paths] == ["c.png"]
    assert [path.name for path, _ in store.skipped] == ["d.png", "e.png", "f.png"]
    assert {reason for _, reason in store.skipped} == {"it is empty (0 bytes)"}


@posix
@pytest.mark.parametrize("look", [list_pictures, find_labelled])
def test_a_folder_inside_that_cannot_be_listed_is_an_error(look, as_nobody):
    """It is named, and its pictures are not left out silently."""
    folder, become_nobody = as_nobody
    for name in ("good", "bad"):
        (folder / name).mkdir()
        for number in range(3):
            Image.new("L", (4, 4)).save(folder / name / f"{number}.png")
    (folder / "good").chmod(0o000)
    become_nobody()
    with pytest.raises(InputError, match="good cannot be listed: Permission denied"):
        look(folder)


@posix
def test_a_folder_that_nobody_may_look_into_is_told_from_a_missing_one(as_nobody):
    """Whatever lies below it cannot be known; a name that is too long is no folder, either."""
    folder, become_nobody = as_nobody
    (folder / "shut" / "in").mkdir(parents=True)
    (folder / "shut").chmod(0o000)
    become_nobody()
    assert not is_folder(folder / "shut" / "in")
    with pytest.raises(InputError, match=r"in cannot be looked at \(Permission denied\); give a"):
        check_folder(folder / "shut" / "in", "a folder")
    with pytest.raises(InputError, match="File name too long"):
        list_pictures("x" * 5000)
    with pytest.raises(InputError, match="does not exist"):
        list_pictures("a\0b")


@pytest.mark.parametrize("moment", ["cut", "replaced", "removed", "empty"])
def test_a_file_that_changes_after_it_was_listed(moment, tmp_path, gray, save):
    """It is read as it is then, or named; the others are read."""
    for name in ("a.png", "b.png", "c.png"):
        save(name, gray(0, (64, 64)))
    paths = list_pictures(tmp_path)
    changed = tmp_path / "b.png"
    if moment == "cut":
        changed.write_bytes(changed.read_bytes()[:-900])
    elif moment == "replaced":
        save("b.png", gray(1, (64, 64)))
    elif moment == "removed":
        changed.unlink()
    else:
        changed.write_bytes(b"")
    store = read_pictures(paths, image_size=None, on_error="skip")
    pixels = store.batch(slice(None))
    assert np.array_equal(pixels[0], pixels[-1])
    if moment == "replaced":
        assert np.array_equal(pixels[1, ..., 0], gray(1, (64, 64)))
    else:
        assert [path for path, _ in store.skipped] == [changed]


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path, gray, save, monkeypatch):
    """The system gives fewer bytes than there were when it was opened: no gray or black rest is made up."""
    path = save("a.png", gray(0, (200, 200)))
    opened = Image.open

    def cut_while_open(place, *arguments, **options):
        image = opened(place, *arguments, **options)
        os.truncate(path, 5000)
        return image

    monkeypatch.setattr(Image, "open", cut_while_open)
    with pytest.raises(PictureError, match=r"a\.png cannot be used: it is damaged or unreadable"):
        read_pictures([path])


@pytest.mark.parametrize(
    "count", [2000, pytest.param(100_000, marks=pytest.mark.slow)], ids=["2000", "100000"]
)
def test_many_small_files_are_listed_quickly_and_in_little_memory(count, tmp_path):
    """Under a millisecond and 1.5 kB a file, whatever their number."""
    for number in range(count):
        place = tmp_path / f"{number // 1000:03}"
        place.mkdir(exist_ok=True)
        (place / f"{number:06}.png").touch()
    tracemalloc.start()
    started = time.process_time()
    paths = list_pictures(tmp_path)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(paths) == count
    assert paths == sorted(paths, key=Path.as_posix)
    print(f"{count} files listed in {seconds:.2f} s of CPU, {peak / 2**20:.1f} MiB at the peak")
    assert seconds < 1e-3 * count
    assert peak < 1500 * count
