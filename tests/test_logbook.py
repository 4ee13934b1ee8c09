"""Rows in a CSV file that is only appended to."""

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recon_anomaly import logbook
from recon_anomaly.errors import SavedFileError
from recon_anomaly.logbook import Logbook

COLUMNS = ["path", "score"]
NAMES = ["a.png", 'quo"te.png', "line\nfeed.png", "comma,.png", "caf\udce9.png", "cr\r.png"]


def _write(path, names=NAMES):
    with Logbook(path, COLUMNS) as book:
        for k, name in enumerate(names):
            book.append([{"path": name, "score": k / 3}])


def _read(path):
    with Logbook(path, COLUMNS) as book:
        return [(row["path"], float(row["score"])) for row in book.rows()], book.torn


def test_rows_come_back_as_they_were(tmp_path):
    """Any name of a file and every digit of a number survive, also for Python's own reader."""
    _write(tmp_path / "book.csv")
    assert _read(tmp_path / "book.csv") == ([(name, k / 3) for k, name in enumerate(NAMES)], 0)
    options = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with (tmp_path / "book.csv").open(**options) as file:
        assert [row["path"] for row in csv.DictReader(file)] == NAMES


def test_a_torn_line_is_cut_off_wherever_it_is_torn(tmp_path):
    """Of a file that ends anywhere, the whole records remain, and appending goes on behind them."""
    path = tmp_path / "book.csv"
    _write(path)
    data = path.read_bytes()
    ends = [0]  # of records: those of the writer, each written alone
    for k in range(len(NAMES) + 1):
        _write(tmp_path / f"{k}.csv", NAMES[:k])
        ends.append((tmp_path / f"{k}.csv").stat().st_size)
    for length in range(1, len(data) + 1):
        path.write_bytes(data[:length])
        whole = max(end for end in ends if end <= length)
        with Logbook(path, COLUMNS) as book:
            assert book.torn == length - whole
            book.append([{"path": "new.png", "score": 9}])
        rows, torn = _read(path)
        assert torn == 0
        assert rows[-1] == ("new.png", 9.0)
        assert [name for name, _ in rows[:-1]] == NAMES[: max(0, ends.index(whole) - 1)]


def test_what_is_no_log_book_is_left_alone(tmp_path):
    """Other columns, rows of another length, an open quotation mark: an error, and no byte is changed."""
    path = tmp_path / "book.csv"
    for text, reason in [
        ("path,decision\na.png,1\n", "columns"),
        ("path,score\na.png,1,2\n", "line 2: 3 values, not 2"),
        ('path,score\n"a.png,1\n' + "b.png,2\n" * 10_000, "quotation mark"),
    ]:
        path.write_text(text)
        with pytest.raises(SavedFileError, match=reason), Logbook(path, COLUMNS) as book:
            list(book.rows())
        assert path.read_text() == text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_two_writers_are_refused(tmp_path):
    """The second of two is told so, and may go on when the first one has ended, even by a kill."""
    path = tmp_path / "book.csv"
    code = "import sys, time; from recon_anomaly.logbook import Logbook\n"
    code += f"book = Logbook({str(path)!r}, {COLUMNS!r}); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(SavedFileError, match="another process"):
            Logbook(path, COLUMNS)
        other.kill()
        other.wait()
    _write(path)
    assert len(_read(path)[0]) == len(NAMES)


def test_a_drive_without_locks_has_its_log_book(tmp_path, monkeypatch):
    """A network drive that knows no locks is written all the same."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("recon_anomaly.claims.fcntl.flock", no_locks)
    _write(tmp_path / "book.csv")
    assert len(_read(tmp_path / "book.csv")[0]) == len(NAMES)


def test_a_file_that_is_taken_away_is_an_error(tmp_path):
    """Rows are not written to a file that nobody can see any more."""
    path = tmp_path / "book.csv"
    with Logbook(path, COLUMNS) as book:
        path.rename(tmp_path / "moved.csv")
        with pytest.raises(SavedFileError, match="cannot write"):
            book.append([{"path": "a.png", "score": 1}])
        path.write_text("path,score\n")
        with pytest.raises(SavedFileError, match="was replaced"):
            book.append([{"path": "a.png", "score": 1}])
    assert (tmp_path / "moved.csv").read_text() == "path,score\n"


def test_rows_are_on_the_disk_when_append_returns(tmp_path, monkeypatch):
    """Each append is synced once, after its last byte."""
    synced = []
    path = tmp_path / "book.csv"
    with Logbook(path, COLUMNS) as book:
        monkeypatch.setattr(logbook.os, "fsync", lambda _: synced.append(path.read_text()))
        book.append([{"path": "a.png", "score": 1}, {"path": "b.png", "score": 2}])
        book.append([])
    assert synced == ["path,score\na.png,1\nb.png,2\n"]


def test_a_write_that_fails_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    """What the disk took of the rows goes again, and the next rows stand where they belong."""
    path = tmp_path / "book.csv"
    with Logbook(path, COLUMNS) as book:
        book.append([{"path": "a.png", "score": 1}])
        with monkeypatch.context() as patch:
            patch.setattr(logbook.os, "fsync", _failing)
            with pytest.raises(SavedFileError, match=r"cannot write .*book\.csv: No space left"):
                book.append([{"path": "b.png", "score": 2}])
        book.append([{"path": "c.png", "score": 3}])
    assert path.read_text() == "path,score\na.png,1\nc.png,3\n"


def test_a_book_that_cannot_be_begun_is_an_error(tmp_path, monkeypatch):
    """A folder in its place, or a disk that is full, is told; the next try finds nothing in its way."""
    with pytest.raises(SavedFileError, match=r"cannot open .*: Is a directory"):
        Logbook(tmp_path, COLUMNS)
    with monkeypatch.context() as patch:
        patch.setattr(logbook.os, "fsync", _failing)
        with pytest.raises(SavedFileError, match=r"book\.csv: No space left"):
            Logbook(tmp_path / "book.csv", COLUMNS)
    _write(tmp_path / "book.csv")
    assert len(_read(tmp_path / "book.csv")[0]) == len(NAMES)


def _failing(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_path_is_no_formula_and_the_same_file(tmp_path):
    """It gets the sign of its folder before it, which a path loses when it is read."""
    with Logbook(tmp_path / "a.csv", COLUMNS) as book:
        book.append([{"path": Path("=1+1.png"), "score": -0.5}])
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "./=1+1.png,-0.5"
    with Logbook(tmp_path / "a.csv", COLUMNS) as book:
        assert [Path(row["path"]) for row in book.rows()] == [Path("=1+1.png")]
