"""Tests of ``recon-anomaly serve``."""

import contextlib
import importlib
import json
import re
import runpy
import socket
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from recon_anomaly import ReconstructionDetector, make_parts
from recon_anomaly.cli.serving import _listening

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def detector(good):
    """A detector of 16 x 16 px that is fitted at once."""
    return ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)


@pytest.fixture
def file(detector, tmp_path):
    """That detector as a file."""
    detector.save(tmp_path / "parts.safetensors")
    return tmp_path / "parts.safetensors"


def test_a_taken_port_is_one_sentence(run, file):
    """Also a host that is none of this machine; nothing is loaded for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, errors = run("serve", file, "--port", port)
        assert code == 1
        assert errors.startswith(f"error: cannot listen on 127.0.0.1, port {port} (")
        assert errors.count("\n") == 1
    code, _, errors = run("serve", file.with_name("missing"), "--host", "192.0.2.1")
    assert code == 1
    assert errors.startswith("error: cannot listen on 192.0.2.1, port 8000 (")
    code, _, errors = run("serve", file.with_name("missing"), "--host", "a..b")
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith("error: cannot listen on a..b, port 8000 (")


def test_answers_do_not_wait_for_acknowledgements():
    """Connections send what they have at once: headers and body of an answer are two writes."""
    with (
        _listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_missing_package_is_told_with_its_extra(run, file, monkeypatch):
    """Who installed no service is told how to."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, errors = run("serve", file, "--port", 0)
    assert code == 1
    assert "serve needs uvicorn" in errors
    assert "pip install 'recon-anomaly[serve]'" in " ".join(errors.split())


def test_wrong_limits_are_refused(run, file):
    """An amount that is none is wrong usage, and a number out of range an error."""
    code, _, errors = run("serve", file, "--port", 0, "--max-bytes", "many")
    assert code == 2
    assert "--max-bytes 'many' is no amount" in " ".join(errors.replace("│", " ").split())
    code, _, errors = run("serve", file, "--port", 0, "--queue", 0)
    assert code == 1
    assert errors.startswith("error: queue")


@pytest.fixture(scope="module")
def serving():
    """What the benchmark of the service is made of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("serving")


@pytest.fixture(scope="module")
def parts():
    """Drawn parts of 32 px and a detector of 16 px that is fitted at once, for all tests of this file."""
    drawn = make_parts(n_train=80, n_test_good=10, n_defects_per_kind=5, image_size=32)
    detector = ReconstructionDetector(model="mean", image_size=16, device="cpu")
    return detector.fit(drawn.train), np.concatenate([drawn.test, drawn.train])[:100]


@pytest.fixture(scope="module")
def service(serving, parts, tmp_path_factory):
    """The command in a process of its own; SIGTERM ends it with 143, and no word but for that."""
    file = tmp_path_factory.mktemp("served") / "parts.safetensors"
    parts[0].save(file)
    limits = ["--queue", "6", "--max-bytes", str(serving.MAX_BYTES)]
    started = serving.Service(file, *limits, "--device", "cpu")
    try:
        yield started
    finally:
        told = started.end()
    assert told == ""
    if sys.platform != "win32":  # which ends a process without a signal
        assert started.process.returncode == 143


def test_bodies_of_any_length_are_answered(service, parts, serving, tmp_path):
    """Over a real connection: with a length, in chunks, and with more than any buffer between the two holds."""
    detector, pictures = parts
    (item,) = serving.items_of(detector, pictures[:1], 0, tmp_path)
    with contextlib.closing(service.connect()) as connection:
        for body in (item.data, iter([item.data])):  # the second one in chunks
            connection.request("POST", "/score", body=body)
            answer = json.loads(connection.getresponse().read())
            assert answer["score"] == pytest.approx(item.score, rel=1e-6)
        connection.request("POST", "/score", body=bytes(25_000_000))
        assert connection.getresponse().status == 413


def test_under_load_nothing_is_lost(service, parts, serving, tmp_path):
    """8 clients, 100 pictures, 12 bad uploads, 6 places: each has its status and score, and all are counted."""
    detector, pictures = parts
    items = serving.items_of(detector, pictures, 12, tmp_path)
    before = service.metrics()
    attempts = serving.load(service, items, 8)
    gained = {name: value - before.get(name, 0) for name, value in service.metrics().items()}
    assert serving.faults(attempts, items, 6) == []
    assert serving.miscounted(attempts, gained) == []
    statuses = Counter(one.status for one in attempts)
    del statuses[429]
    assert statuses == {200: 100, 400: 6, 413: 3, 415: 3}
    assert {one.answer.get("label") for one in attempts} >= {"good", "anomalous"}


def test_faults_are_found(serving):
    """A lost file, another status or score, a refusal without need and a wrong count are each named."""
    good, bad = serving.Sent(b"a", 200, 1.0), serving.Sent(b"b", 415, None)
    one = serving.Attempt(good, 0.0, 1.0, 200, {"score": 1.0, "label": "good"})
    two = serving.Attempt(bad, 1.5, 2.0, 415, {"detail": "no"})
    full = serving.Attempt(good, 0.5, 1.8, 429, {"detail": "full"})
    assert serving.faults([one, two, full], [good, bad], 2) == []
    for attempts, words in [
        ([one], "2 files were sent, and 1 had"),
        ([one, two, full._replace(began=1.2)], "429 where there were places"),
        ([one, two._replace(status=500)], "500 in place of 415"),
        ([one._replace(answer={"score": 1.00001}), two], "a score of 1.00001"),
        ([one, two._replace(answer={"detail": "Traceback:\n"})], "more than a sentence"),
    ]:
        (fault,) = serving.faults(attempts, [good, bad], 2)
        assert words in fault
    counts = {
        'requests_total{endpoint="/score"}': 2,
        'request_seconds_count{endpoint="/score"}': 2,
        'pictures_total{label="good"}': 1,
        'failures_total{endpoint="/score",status="415"}': 1,
    }
    assert serving.miscounted([one, two], counts) == []
    assert len(serving.miscounted([one, two, full], counts)) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_thousand_pictures_by_sixteen_clients(monkeypatch, capsys):
    """With 100 bad uploads and 12 places: the benchmark finds no fault, and prints memory before and after."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["serving.py", "--threads", str(torch.get_num_threads())])
    runpy.run_path(str(BENCHMARKS / "serving.py"), run_name="__main__")
    text = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{text}")
    assert "1000 x 200, 50 x 400, 25 x 413, 25 x 415" in text
    before, after = map(float, re.findall(r"(\d+) MB", text))
    assert after < before + 50
