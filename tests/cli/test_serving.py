"""Tests of ``recon-anomaly serve``."""

import io
import json
import re
import socket
import subprocess
import sys
from http.client import HTTPConnection

import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector


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


def test_wrong_limits_are_refused(run, file):
    """An amount that is none is wrong usage, and a number out of range an error."""
    code, _, errors = run("serve", file, "--port", 0, "--max-bytes", "many")
    assert code == 2
    assert "--max-bytes 'many' is no amount" in " ".join(errors.replace("│", " ").split())
    code, _, errors = run("serve", file, "--port", 0, "--queue", 0)
    assert code == 1
    assert errors.startswith("error: queue")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
def test_the_command_serves_until_it_is_ended(detector, file, good):
    """Over a real connection, a body without a length included; SIGTERM gives 143."""
    command = [sys.executable, "-m", "recon_anomaly", "serve", str(file)]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as service:
        address = re.search(r"http://([\d.]+):(\d+)/", service.stderr.readline())
        connection = HTTPConnection(address[1], int(address[2]), timeout=60)
        picture = io.BytesIO()
        Image.fromarray(good[0][..., 0]).save(picture, "PNG")
        for body in (picture.getvalue(), iter([picture.getvalue()])):  # the second one in chunks
            connection.request("POST", "/score", body=body)
            answer = json.loads(connection.getresponse().read())
            assert answer["score"] == detector.anomaly_score(good[:1])[0]
        # More than any buffer between the two holds: the answer comes all the same.
        connection.request("POST", "/score", body=bytes(25_000_000))
        assert connection.getresponse().status == 413
        connection.close()
        service.terminate()
        told = service.stderr.read()
    assert service.returncode == 143
    assert "Traceback" not in told
