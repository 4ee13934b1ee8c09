"""Locks tell what living processes have from what killed ones left."""

import errno
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from recon_anomaly import SavedFileError, claims
from recon_anomaly.claims import claimed_file, claimed_folder, remove_left, sole_use

pytestmark = pytest.mark.skipif(os.name != "posix", reason="flock is POSIX's")
SOURCE = str(Path(claims.__file__).parents[1])


@contextmanager
def process(code, folder):
    """Another process that runs the code in the folder, has said "ready", and waits."""
    code = f"from recon_anomaly.claims import *\nfrom pathlib import Path\nimport sys\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint('ready', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": SOURCE},
    ) as other:
        assert other.stdout.readline() == "ready\n"
        yield other
        other.kill()


TEMPORARY = """
kept = claimed_file(Path(), ".a.bin", ".part"), claimed_file(Path(), "recon-anomaly", ".pixels")
folder = claimed_folder()
(folder.__enter__() / "inside").touch()
"""


def test_what_a_killed_process_leaves_is_removed_and_nothing_else(tmp_path):
    """Its temporary files and folders go as soon as it is dead; other files with such names stay."""
    others = [tmp_path / name for name in ("mine.part", "recon-anomaly-1.pixels", ".a-x.part")]
    foreign = tmp_path / ".a.bin-00000000-abcdefgh.part"  # of another machine, which may be alive
    for path in (*others, foreign):
        path.touch()
    with process(TEMPORARY, tmp_path) as other:
        theirs = {path for path in tmp_path.iterdir() if path not in {*others, foreign}}
        assert len(theirs) == 3
        assert remove_left(tmp_path) == []
        other.kill()
        other.wait()
        assert set(remove_left(tmp_path)) == theirs
    assert {*tmp_path.iterdir()} == {*others, foreign}


def test_the_first_claim_in_a_folder_removes_what_is_left_there(tmp_path):
    """Later ones do not look again: a folder may hold a million heat maps."""
    with process(TEMPORARY, tmp_path) as other:
        other.kill()
        other.wait()
    assert len(list(tmp_path.iterdir())) == 3
    handle, path = claimed_file(tmp_path, ".b.bin", ".part")
    os.close(handle)
    assert list(tmp_path.iterdir()) == [path]
    handle, second = claimed_file(tmp_path, ".b.bin", ".part")
    os.close(handle)
    assert {*tmp_path.iterdir()} == {path, second}


def test_an_ending_process_removes_its_folder(tmp_path, monkeypatch):
    """A claimed folder goes with its block, also where the block fails."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyError), claimed_folder() as folder:  # noqa: PT012 -- what fails is the block itself
        (folder / "inside").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_use_one_thing(tmp_path):
    """The second is refused with the name of the first; once that one is killed, there is no obstacle."""
    lock = tmp_path / "run.lock"
    with process("held = sole_use(Path('run.lock'), 'a'); held.__enter__()", tmp_path) as other:
        wanted = rf"the run is in use by process {other.pid} on .*; wait until it has ended"
        with pytest.raises(SavedFileError, match=wanted), sole_use(lock, "the run"):
            pytest.fail("two processes were let in")
        other.kill()
        other.wait()
        assert lock.exists()
        with sole_use(lock, "the run"):
            assert str(os.getpid()) in lock.read_text()
    assert not lock.exists()


def test_a_block_that_fails_gives_its_lock_up(tmp_path):
    """Nothing is left to wait for."""
    with pytest.raises(KeyError), sole_use(tmp_path / "a.lock", "a"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path):
    """It names the path and the cause."""
    with (
        pytest.raises(SavedFileError, match=r"cannot write .*a\.lock: No such file or directory"),
        sole_use(tmp_path / "missing" / "a.lock", "a"),
    ):
        pytest.fail("there is no folder")


@pytest.mark.parametrize("kind", ["file", "folder", "lock"])
def test_what_another_process_removes_before_it_is_locked_is_made_anew(kind, tmp_path, monkeypatch):
    """Whoever sweeps in the moment before the lock takes a new claim for left; nobody works without a claim."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    flock, swept = claims.fcntl.flock, []

    def sweep_once(handle, operation):
        if not swept:
            swept.extend(tmp_path.iterdir())
            for path in swept:
                path.rmdir() if path.is_dir() else path.unlink()
        flock(handle, operation)

    with ExitStack() as claim:
        if kind == "folder":
            claim.enter_context(claimed_folder())  # sweeps by itself the first time
        monkeypatch.setattr(claims.fcntl, "flock", sweep_once)
        if kind == "file":
            handle, path = claimed_file(tmp_path, ".a.bin", ".part")
            claim.callback(os.close, handle)
        elif kind == "folder":
            path = claim.enter_context(claimed_folder())
        else:
            path = tmp_path / "a.lock"
            claim.enter_context(sole_use(path, "a"))
            assert str(os.getpid()) in path.read_text()
        assert swept
        assert list(tmp_path.iterdir()) == [path]


def test_what_another_user_made_stays(tmp_path, monkeypatch):
    """In a folder that all may write, such as /tmp, the files of others are theirs."""
    handle, path = claimed_file(tmp_path, ".a.bin", ".part")
    os.close(handle)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert remove_left(tmp_path) == []
    assert path.exists()
    monkeypatch.setattr(os, "geteuid", lambda: me)
    assert remove_left(tmp_path) == [path]


def test_a_system_without_locks_works(tmp_path, monkeypatch):
    """As Windows, which has neither flock nor reads and writes at an offset: all is used, nothing swept."""
    monkeypatch.setattr(claims, "fcntl", None)
    monkeypatch.delattr(os, "pread")
    monkeypatch.delattr(os, "pwrite")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    handle, path = claimed_file(tmp_path, ".a.bin", ".part")
    os.close(handle)
    with claimed_folder() as folder, sole_use(folder / "a.lock", "a"):
        assert str(os.getpid()) in (folder / "a.lock").read_text()
        assert remove_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == [path]


def test_without_locks_nothing_is_refused_or_removed(tmp_path, monkeypatch):
    """A network drive that knows none works, and what might be another's stays."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(claims.fcntl, "flock", no_locks)
    handle, path = claimed_file(tmp_path, ".a.bin", ".part")
    os.close(handle)
    with sole_use(tmp_path / "a.lock", "a"), sole_use(tmp_path / "a.lock", "a"):
        assert remove_left(tmp_path) == []
    assert list(tmp_path.iterdir()) == [path]
