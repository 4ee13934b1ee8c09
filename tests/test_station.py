"""Pictures that are scored as they arrive, by a clock that the test turns."""

import csv
import io
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector
from recon_anomaly.errors import InputError, SavedFileError
from recon_anomaly.station import COLUMNS, Station


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def detector(good):
    """A detector of 16 x 16 px that is fitted at once."""
    return ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)


@pytest.fixture
def place(tmp_path):
    """A folder that pictures come into."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def start(detector, place):
    """Start a station as a new process would, with a clock of its own."""

    def start(**options):
        clock = Clock()
        station = Station(detector, place, place.parent / "out", clock=clock, **options)

        def steps(*seconds):
            rows = []
            for passed in seconds:
                clock.now += passed
                rows += station.step()
            return rows

        return station, steps

    return start


def _png(picture):
    file = io.BytesIO()
    Image.fromarray(picture[..., 0]).save(file, "PNG")
    return file.getvalue()


def _table(place):
    with (place.parent / "out" / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_what_score_would_say(start, detector, place, good, bad):
    """Scores, decisions, labels and p-values are the detector's own, also for more than one batch."""
    pictures = {f"{k:02}.png": picture for k, picture in enumerate([*good, *bad])}
    for name, picture in pictures.items():
        (place / name).write_bytes(_png(picture))
    station, steps = start(name="abc")
    with station:
        rows = steps(0, 1)
    paths = [place / name for name in pictures]
    assert sorted(row["path"] for row in rows) == [str(path) for path in paths]
    table = {row["path"]: row for row in _table(place)}
    for path, score, decision, p_value, sign in zip(
        paths,
        detector.anomaly_score(paths),
        detector.decision_function(paths),
        detector.p_value(paths),
        detector.predict(paths),
        strict=True,
    ):
        row = table[str(path)]
        assert float(row["score"]) == pytest.approx(score, rel=1e-5)
        assert float(row["decision"]) == pytest.approx(decision, abs=1e-5 * score)
        assert float(row["p_value"]) == p_value
        assert row["label"] == ("good" if sign > 0 else "anomalous")
        assert (int(row["mtime_ns"]), int(row["size"])) == (
            path.stat().st_mtime_ns,
            path.stat().st_size,
        )
        assert row["detector"] == "abc"
        assert row["note"] == ""
    assert {row["label"] for row in table.values()} == {"good", "anomalous"}


def test_half_a_file_is_waited_for(start, place, good):
    """A picture whose second half comes late is scored once, whole; a torn one is never scored."""
    data = _png(good[0])
    station, steps = start(patience=10)
    with station:
        (place / "a.png").write_bytes(data[:150])
        assert steps(0, 1, 1, 1) == []
        with (place / "a.png").open("ab") as file:
            file.write(data[150:])
        (row,) = steps(0, 1, 1, 1)
        assert row["label"] == "good"
        assert steps(20) == []


def test_what_stays_unreadable_is_recorded_once(start, place, good):
    """After the patience there is one row with the reason; a restart adds none; a good file in its place is scored."""
    (place / "a.png").write_bytes(_png(good[0])[:150])
    station, steps = start(patience=10)
    with station:
        assert steps(0, 5, 4) == []
        (row,) = steps(2, 10, 10)
        assert (row["label"], row["score"]) == ("unreadable", None)
        assert "truncated" in row["note"]
    station, steps = start(patience=10)
    with station:
        assert steps(0, 20) == []
        (place / "a.png").write_bytes(_png(good[0]))
        assert [row["label"] for row in steps(0, 1)] == ["good"]
    assert [row["label"] for row in _table(place)] == ["unreadable", "good"]


def test_a_restart_goes_on(start, place, good, bad):
    """What the file has is not scored again; a line that was torn is, and a replaced picture is."""
    for k in range(3):
        (place / f"{k}.png").write_bytes(_png(good[k]))
    station, steps = start()
    with station:
        assert len(steps(0, 1)) == 3
    book = place.parent / "out" / "scores.csv"
    data = book.read_bytes()
    book.write_bytes(data[:-9])
    station, steps = start()
    with station:
        assert station.remembered == 2
        assert station.book.torn > 0
        (row,) = steps(0, 1)
        assert row["path"] == str(place / "2.png")
        (place / "0.png").write_bytes(_png(bad[0]))
        (row,) = steps(1, 1)
        assert (row["path"], row["label"]) == (str(place / "0.png"), "anomalous")
    assert [row["path"][-5:] for row in _table(place)] == ["0.png", "1.png", "2.png", "0.png"]


def test_a_picture_that_changes_while_it_is_scored_is_scored_as_it_becomes(
    start, detector, place, good, bad, monkeypatch
):
    """No row tells of a state that was gone when it was written."""
    path = place / "a.png"
    path.write_bytes(_png(good[0]))
    station, steps = start()
    scored = detector.iter_scores

    def replaced(pixels):
        monkeypatch.undo()
        path.write_bytes(_png(bad[0]))
        yield from scored(pixels)

    monkeypatch.setattr(detector, "iter_scores", replaced)
    with station:
        assert steps(0, 1) == []
        (row,) = steps(1, 1)
    assert row["label"] == "anomalous"
    assert row["score"] == pytest.approx(detector.anomaly_score([path])[0], rel=1e-6)


def test_pictures_of_any_kind_may_come_together(start, place, good):
    """8 and 16 bits, gray and colour, other sizes and alpha: all are scored, and the note says what was dropped."""
    gray = Image.fromarray(good[0][..., 0])
    gray.save(place / "gray.png")
    gray.convert("RGB").resize((32, 32)).save(place / "large.png")
    gray.convert("RGBA").save(place / "alpha.png")
    Image.fromarray(good[0][..., 0].astype(np.uint16) * 257).save(place / "deep.png")
    station, steps = start()
    with station:
        rows = {row["path"].rsplit(os.sep)[-1]: row for row in steps(0, 1)}
    assert rows["deep.png"]["score"] == pytest.approx(rows["gray.png"]["score"], rel=1e-5)
    assert rows["alpha.png"]["score"] == pytest.approx(rows["gray.png"]["score"], rel=1e-5)
    assert "alpha" in rows["alpha.png"]["note"]
    assert rows["large.png"]["score"] > 0


def test_heat_maps_stand_where_the_pictures_stood(start, place, good):
    """Each picture has its map under the same subfolder, before its row is written."""
    (place / "left").mkdir()
    (place / "left" / "a.png").write_bytes(_png(good[0]))
    station, steps = start(maps=True, recursive=True)
    with station:
        assert len(steps(0, 1)) == 1
    with Image.open(place.parent / "out" / "maps" / "left" / "a.png.png") as image:
        assert image.height == 256


def test_maps_that_would_come_in_again_are_refused(detector, place):
    """A watched folder may not take up its own heat maps."""
    with pytest.raises(InputError, match="arriving pictures"):
        Station(detector, place, place / "out", maps=True, recursive=True)
    with pytest.raises(InputError, match="patience"):
        Station(detector, place, place / "out", patience=-1)


def test_a_log_book_with_rows_of_others_is_refused(detector, place):
    """A state that is no pair of whole numbers is named with its row."""
    (place.parent / "out").mkdir()
    book = place.parent / "out" / "scores.csv"
    book.write_text(",".join(COLUMNS) + "\na.png,1,1,good,1,now,yesterday,7,,\n")
    with pytest.raises(SavedFileError, match="row 1: mtime_ns and size are 'yesterday' and '7'"):
        Station(detector, place, place.parent / "out")


def test_pictures_written_by_another_thread_are_all_scored_once(detector, place, good):
    """With a real clock, and each file written in two halves, there is one good row a picture."""

    def write():
        for k, picture in enumerate(good[:12]):
            data = _png(picture)
            with (place / f"{k}.png").open("wb") as file:
                file.write(data[:100])
                file.flush()
                time.sleep(0.015)
                file.write(data[100:])

    writer = threading.Thread(target=write)
    with Station(detector, place, place.parent / "out", interval=0.02) as station:
        writer.start()
        count, end = 0, time.monotonic() + 20
        while count < 12 and time.monotonic() < end:
            count += len(list(station.step()))
            time.sleep(0.01)
        writer.join()
        time.sleep(0.05)
        assert list(station.step()) == []
    rows = _table(place)
    assert sorted(row["path"] for row in rows) == sorted(str(path) for path in place.iterdir())
    assert {row["label"] for row in rows} <= {"good", "anomalous"}
