"""Which pictures of a folder are new, by a clock that the test turns."""

import errno
import os
from pathlib import Path

import pytest

from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.watching import FolderWatch, Stamp, stamp_of


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def watch(tmp_path, clock):
    """A watch of a folder, with an interval of half a second."""
    (tmp_path / "in").mkdir()
    return FolderWatch(tmp_path / "in", recursive=True, interval=0.5, clock=clock)


def _names(watch):
    return [str(one.path.relative_to(watch.folder)) for one in watch.look()]


def test_a_file_is_given_when_it_has_rested(watch, clock):
    """A file that grows, or is touched, begins anew; at rest it is given until it is finished."""
    path = watch.folder / "a.png"
    path.write_bytes(b"one")
    assert _names(watch) == []
    clock.now += 0.4
    assert _names(watch) == []
    path.write_bytes(b"one and two")
    clock.now += 0.4
    assert _names(watch) == []
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    clock.now += 0.4
    assert _names(watch) == []
    clock.now += 0.5
    assert _names(watch) == _names(watch) == ["a.png"]
    (arrival,) = watch.look()
    assert arrival.age == pytest.approx(0.5)
    assert arrival.stamp == stamp_of(path) == Stamp(status.st_mtime_ns + 1, 11)
    watch.finish(arrival)
    clock.now += 5
    assert _names(watch) == []


def test_a_replaced_file_is_new_and_a_deleted_one_is_forgotten(watch, clock):
    """Another size or time makes a file new; one that comes back as it was is not."""
    path = watch.folder / "a.png"
    path.write_bytes(b"one")
    watch.look()
    clock.now += 1
    (arrival,) = watch.look()
    watch.finish(arrival)
    path.write_bytes(b"longer")
    watch.look()
    clock.now += 1
    assert _names(watch) == ["a.png"]
    path.unlink()
    assert _names(watch) == []
    path.write_bytes(b"one")
    os.utime(path, ns=(0, arrival.stamp.mtime_ns))
    watch.look()
    clock.now += 1
    assert _names(watch) == []


def test_only_pictures_are_given_the_oldest_first(watch, clock):
    """Other endings, hidden files, folders and pipes are left out; subfolders are looked into, loops once."""
    for k, name in enumerate(["c.png", "b.JPG", "a.tiff", ".hidden.png", "notes.txt"]):
        (watch.folder / name).write_bytes(b"x")
        os.utime(watch.folder / name, ns=(0, 10**9 * k))
    (watch.folder / "folder.png").mkdir()
    (watch.folder / "folder.png" / "inner.png").write_bytes(b"x")
    os.utime(watch.folder / "folder.png" / "inner.png", ns=(0, 10**10))
    (watch.folder / "folder.png" / "round").symlink_to(watch.folder, target_is_directory=True)
    (watch.folder / "itself.png").symlink_to("itself.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(watch.folder / "pipe.png")
    watch.look()
    clock.now += 1
    inner = str(Path("folder.png") / "inner.png")
    assert _names(watch) == ["c.png", "b.JPG", "a.tiff", inner]
    flat = FolderWatch(watch.folder, interval=0.5, clock=clock)
    flat.look()
    clock.now += 1
    assert _names(flat) == ["c.png", "b.JPG", "a.tiff"]


def test_a_folder_that_goes_is_waited_for(watch, clock):
    """One warning each time that it is gone; what was done before is still done when it comes back."""
    (watch.folder / "a.png").write_bytes(b"x")
    watch.look()
    clock.now += 1
    watch.finish(*watch.look())
    for _ in range(2):
        watch.folder.rename(watch.folder.with_name("away"))
        with pytest.warns(PictureWarning, match="is gone"):
            assert watch.look() == []
        assert watch.look() == []  # a second warning would be an error here
        watch.folder.with_name("away").rename(watch.folder)
        assert watch.look() == []
    (watch.folder / "b.png").write_bytes(b"x")
    watch.look()
    watch.folder.rename(watch.folder.with_name("away"))
    clock.now += 1
    with pytest.warns(PictureWarning, match="is gone"):
        watch.look()
    watch.folder.with_name("away").rename(watch.folder)
    clock.now += 60
    assert _names(watch) == []  # it may have been on its way: nobody has seen it rest
    clock.now += 1
    assert _names(watch) == ["b.png"]


def test_a_folder_that_may_not_be_listed_is_left_out(watch, clock, monkeypatch):
    """It is warned of once, and the pictures of the others are given."""
    for place in (watch.folder / "closed", watch.folder / "open"):
        place.mkdir()
        (place / "a.png").write_bytes(b"x")
    scandir = os.scandir

    def closed(folder):
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.warns(PictureWarning, match=r"closed cannot be listed: Permission denied"):
        watch.look()
    clock.now += 1
    assert _names(watch) == [str(Path("open") / "a.png")]  # a second warning would be an error here


def test_what_cannot_be_watched_is_refused(tmp_path):
    """A missing folder, a file and an interval of nothing are errors with a remedy."""
    with pytest.raises(InputError, match="does not exist"):
        FolderWatch(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="is not a folder"):
        FolderWatch(tmp_path / "file")
    for interval in (0, -1, float("nan"), "1"):
        with pytest.raises(InputError, match="interval"):
            FolderWatch(tmp_path, interval=interval)
