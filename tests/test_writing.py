"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recon_anomaly.errors import SavedFileError
from recon_anomaly.writing import check_writable, whole_file

no_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_written(tmp_path):
    """What the block wrote is at the path afterwards, and nothing else is in the folder."""
    with whole_file(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"new")
        assert names(tmp_path) != ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_an_old_file_is_replaced_in_one_step(tmp_path):
    """The old file is there, whole, until the block has ended."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new, and longer")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new, and longer"
    assert names(tmp_path) == ["a.bin"]


def test_the_temporary_file_is_beside_the_target(tmp_path):
    """A rename stays within one file system, and the temporary file is a hidden one."""
    with whole_file(tmp_path / "a.bin") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError, GeneratorExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_exception_inside_leaves_all_as_it_was(error, old, tmp_path):
    """The old file stays, the temporary one goes, and the exception comes through as it is."""
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error, match="inside"), whole_file(path) as temporary:  # noqa: PT012 -- what fails is the block itself
        temporary.write_bytes(b"half")
        raise error("inside")
    assert names(tmp_path) == ([] if old is None else ["a.bin"])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("stage", ["write", "sync", "rename"])
def test_a_failing_disk_is_an_error_that_names_the_path(stage, tmp_path, monkeypatch):
    """A full disk, at any moment, is a SavedFileError with path and cause; the old file stays."""

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    if stage == "sync":
        monkeypatch.setattr(os, "fsync", fail)
    elif stage == "rename":
        monkeypatch.setattr(Path, "replace", fail)
    message = r"a\.bin: No space left"
    with pytest.raises(SavedFileError, match=message), whole_file(path) as half:  # noqa: PT012 -- what fails is the block itself
        half.write_bytes(b"half")
        if stage == "write":
            fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_the_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    """The bytes are on the disk before the name points at them."""
    events = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle):
        events.append("sync")
        sync(handle)

    def rename(self, target):
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    with whole_file(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"new")
    assert events[:2] == ["sync", "rename"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_file_has_the_mode_that_the_umask_gives(mask, mode, tmp_path):
    """A colleague can read the file as any other, unless the umask says no; the umask stays."""
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"new")
    finally:
        after = os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == mode
    assert after == mask


def missing_folder(folder):
    return folder / "missing" / "a.bin"


def folder_itself(folder):
    (folder / "inside").touch()
    return folder


def below_a_file(folder):
    (folder / "file").touch()
    return folder / "file" / "a.bin"


def read_only_place(folder):
    return Path("/proc/self/a.bin")  # refuses even root, whom chmod would not stop


BAD_TARGETS = [
    missing_folder,
    folder_itself,
    below_a_file,
    pytest.param(read_only_place, marks=no_proc),
]


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_bad_targets_are_refused(target, tmp_path):
    """A missing folder, a folder, a path below a file and a read-only place are errors that name it."""
    path = target(tmp_path)
    before = names(tmp_path)
    with pytest.raises(SavedFileError) as caught, whole_file(path) as temporary:
        temporary.write_bytes(b"new")
    assert str(path) in str(caught.value)
    assert names(tmp_path) == before


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_bad_targets_are_found_beforehand(target, tmp_path):
    """check_writable refuses what whole_file would refuse, and leaves nothing behind."""
    path = target(tmp_path)
    before = names(tmp_path)
    with pytest.raises(SavedFileError) as caught:
        check_writable(path)
    assert str(path) in str(caught.value)
    assert names(tmp_path) == before


def test_a_good_target_is_returned_as_a_path(tmp_path):
    """check_writable gives the path back and makes nothing there."""
    assert check_writable(str(tmp_path / "a.bin")) == tmp_path / "a.bin"
    assert names(tmp_path) == []


def test_check_writable_leaves_an_old_file_alone(tmp_path):
    """A file that is already at the path keeps its bytes."""
    (tmp_path / "a.bin").write_bytes(b"old")
    check_writable(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_bare_name_is_written_to_the_working_folder(tmp_path, monkeypatch):
    """A path without a folder works, too."""
    monkeypatch.chdir(tmp_path)
    with whole_file(check_writable("a.bin")) as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["a.bin"]


def test_threads_do_not_mistake_each_others_umask(tmp_path, monkeypatch):
    """To ask for it is to set it: no thread asks before another one has set it back."""
    asked = []

    def umask(mask):
        asked.append(threading.get_ident())
        time.sleep(0.01)
        return 0o022

    monkeypatch.setattr(os, "umask", umask)

    def write(number):
        with whole_file(tmp_path / f"{number}.bin") as temporary:
            temporary.write_bytes(b"new")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    assert len(asked) == 16
    assert asked[::2] == asked[1::2]


def test_a_folder_that_vanishes_is_an_error_that_names_the_path(tmp_path):
    """Whoever deletes the folder while a file is written to it ends the writing, and makes nothing new."""
    (folder := tmp_path / "gone").mkdir()
    message = r"cannot write .*gone/a\.bin: No such file or directory"
    with pytest.raises(SavedFileError, match=message), whole_file(folder / "a.bin") as temporary:  # noqa: PT012 -- what fails is the block itself
        temporary.write_bytes(b"new")
        shutil.rmtree(folder)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX")
@pytest.mark.parametrize(("code", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_is_no_error_but_a_broken_disk_is(
    code, fails, tmp_path, monkeypatch
):
    """Some network drives sync files only; the file is in place then."""
    sync = os.fsync

    def fsync(handle):
        if not os.path.isfile(f"/dev/fd/{handle}"):  # noqa: PTH113  # a Path would be no shorter
            raise OSError(code, os.strerror(code))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with (
            pytest.raises(SavedFileError, match="Input/output error"),
            whole_file(tmp_path / "a") as t,
        ):
            t.write_bytes(b"new")
    else:
        with whole_file(tmp_path / "a") as temporary:
            temporary.write_bytes(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    """The temporary name has no need for more room than the name itself."""
    with whole_file(tmp_path / ("a" * 255)) as temporary:
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["a" * 255]
