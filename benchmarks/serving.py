"""What the service of `recon-anomaly serve` costs beside `score_samples`, and whether it loses anything under load.

    python benchmarks/serving.py [--pictures 1000] [--clients 16] [--bad 100] [--queue 12] [--image-size 64]
        [--calls 50] [--rounds 3]

The service is a process of its own. Clients send drawn parts and bad uploads between them, and send those again
that were answered with 429, after the seconds that the answer says. Then single pictures take turns: a POST, and
``score_samples([path])`` in this process. It is an error if an answer is wrong, or the service's figures do not add up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from timing import alternate, machine, median_and_spread, processors, ratios

from recon_anomaly import ReconstructionDetector, make_parts

MAX_BYTES = 200_000
BAD = {"empty": 400, "truncated": 400, "not a picture": 415, "too many bytes": 413}


class Sent(NamedTuple):
    """A file that is sent, the status that it wants, and for a picture the score."""

    data: bytes
    status: int
    score: float | None


class Attempt(NamedTuple):
    """One request: what was sent, when, and what came back."""

    sent: Sent
    began: float
    ended: float
    status: int
    answer: dict[str, Any]


class Service:
    """The command in a process of its own, on a free port.

    Parameters
    ----------
    file : path
        A saved detector.
    *options : str
        Of the command.
    """

    def __init__(self, file: Path, *options: str) -> None:
        command = [sys.executable, "-m", "recon_anomaly", "serve", str(file), "--port", "0"]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        told = self.process.stderr.readline()
        found = re.search(r"http://([\d.]+):(\d+)/", told)
        if found is None:
            raise SystemExit(told + self.process.communicate()[1])
        self.host, self.port = found[1], int(found[2])

    def connect(self) -> HTTPConnection:
        """Return a connection, which is opened by its first request."""
        return HTTPConnection(self.host, self.port, timeout=120)

    def metrics(self) -> dict[str, float]:
        """Return the service's own figures."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("recon_anomaly_"): float(value) for name, value in lines}

    def memory(self) -> float:
        """Return the megabytes of its own that the process has in memory (RssAnon); NaN elsewhere than on Linux."""
        known = Path(f"/proc/{self.process.pid}/status")
        found = re.search(
            r"^RssAnon:\s+(\d+) kB", known.read_text() if known.exists() else "", re.M
        )
        return int(found[1]) / 1000 if found else float("nan")

    def end(self) -> str:
        """Ask the process to end, and return what it said but for that."""
        self.process.send_signal(signal.SIGTERM)
        told = self.process.communicate(timeout=60)[1]
        return told.removesuffix("terminated; nothing is served any more\n")


def load(service: Service, items: Sequence[Sent], clients: int) -> list[Attempt]:
    """Let clients send all items, those of a full queue again, and return every request in the order of the items."""

    def client(first: int) -> list[list[Attempt]]:
        with contextlib.closing(service.connect()) as connection:
            return [list(_sent(connection, item)) for item in items[first::clients]]

    with ThreadPoolExecutor(clients) as pool:
        return [one for own in pool.map(client, range(clients)) for tries in own for one in tries]


def _sent(connection: HTTPConnection, item: Sent) -> Iterator[Attempt]:
    while True:
        began = time.monotonic()
        connection.request("POST", "/score", body=item.data)
        response = connection.getresponse()
        answer = json.loads(response.read())
        yield Attempt(item, began, time.monotonic(), response.status, answer)
        if response.status != 429:
            return
        time.sleep(int(response.headers["Retry-After"]))  # as a client is asked to


def faults(attempts: Sequence[Attempt], items: Sequence[Sent], queue: int) -> list[str]:
    """Say what was lost, answered wrongly, or refused though the queue had places."""
    found = []
    final = Counter(id(one.sent) for one in attempts if one.status != 429)
    if final != Counter(map(id, items)):
        found.append(f"{len(items)} files were sent, and {final.total()} had an answer")
    began, ended = np.array([(one.began, one.ended) for one in attempts]).T
    for one in attempts:
        if one.status == 429:
            # A place is taken later than its request begins, and is free before its answer has come.
            if ((began < one.ended) & (ended > one.began)).sum() <= queue:
                found.append("429 where there were places")
        elif one.status != one.sent.status:
            found.append(f"{one.status} in place of {one.sent.status}: {one.answer}")
        elif one.sent.score is None:
            if "\n" in one.answer["detail"]:
                found.append(f"more than a sentence: {one.answer}")
        elif not abs(one.answer["score"] - one.sent.score) <= 1e-6 * one.sent.score:
            found.append(f"a score of {one.answer['score']} in place of {one.sent.score}")
    return found


def miscounted(attempts: Sequence[Attempt], metrics: dict[str, float]) -> list[str]:
    """Say which of the service's figures differ from what the clients saw."""
    statuses = Counter(one.status for one in attempts)
    wanted = {
        'requests_total{endpoint="/score"}': len(attempts),
        'request_seconds_count{endpoint="/score"}': len(attempts),
        "queue_length": 0,
    }
    for label in ("good", "anomalous"):
        count = sum(one.answer.get("label") == label for one in attempts)
        wanted[f'pictures_total{{label="{label}"}}'] = count
    for status in statuses.keys() - {200}:
        wanted[f'failures_total{{endpoint="/score",status="{status}"}}'] = statuses[status]
    return [
        f"{name} is {metrics.get(name, 0):g} and not {count}"
        for name, count in wanted.items()
        if metrics.get(name, 0) != count
    ]


def items_of(detector: Any, pictures: np.ndarray, bad: int, folder: Path) -> list[Sent]:
    """Write the pictures as PNG, and return them with as many bad files strewn in, by a seed."""
    paths = []
    for number, picture in enumerate(pictures):
        paths.append(folder / f"{number:05}.png")
        Image.fromarray(picture.squeeze()).save(paths[-1])
    scores = -detector.score_samples(paths)
    items = [Sent(path.read_bytes(), 200, float(s)) for path, s in zip(paths, scores, strict=True)]
    whole = items[0].data
    files = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "not a picture": b"no picture at all",
        "too many bytes": whole + bytes(MAX_BYTES),
    }
    rng = np.random.default_rng(0)
    for number in range(bad):
        name = list(BAD)[number % len(BAD)]
        items.insert(int(rng.integers(len(items) + 1)), Sent(files[name], BAD[name], None))
    return items


def main() -> None:
    """Load the service, check its answers, measure single pictures, and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--bad", type=int, default=100)
    parser.add_argument("--queue", type=int, default=12, help="places; fewer than clients give 429")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--calls", type=int, default=50, help="single pictures in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=processors())
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    size = options.image_size
    parts = make_parts(n_train=50 + options.pictures, image_size=2 * size)
    # Not those of the fit, which it reconstructs to the last bit: their scores would be rounding alone.
    pictures = np.concatenate([parts.test, parts.train[50:]])[: options.pictures]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        detector = ReconstructionDetector("pca", image_size=size, device="cpu").fit(
            parts.train[:50]
        )
        detector.save(folder / "parts.safetensors")
        items = items_of(detector, pictures, options.bad, folder)
        limits = ["--queue", str(options.queue), "--max-bytes", str(MAX_BYTES)]
        service = Service(folder / "parts.safetensors", *limits, "--device", "cpu")
        try:
            load(
                service, items[: 2 * options.clients], options.clients
            )  # what is made once is there
            before, counted = service.memory(), service.metrics()
            attempts = load(service, items, options.clients)
            after, metrics = service.memory(), service.metrics()
            gained = {name: value - counted.get(name, 0) for name, value in metrics.items()}
            wrong = faults(attempts, items, options.queue) + miscounted(attempts, gained)
            paths = sorted(folder.glob("*.png"))[: options.calls]
            with contextlib.closing(service.connect()) as connection:
                measures = {
                    "POST /score": partial(
                        _posted, connection, [path.read_bytes() for path in paths]
                    ),
                    "score_samples([path])": partial(_scored, detector, paths),
                }
                found = alternate(measures, options.rounds)
        finally:
            told = service.end()
    statuses = Counter(one.status for one in attempts)
    print(
        f"{options.pictures} pictures and {options.bad} bad uploads by {options.clients} clients, {options.queue} places\n"
        f"{machine(options.threads, 'torch', 'fastapi', 'uvicorn')}\n"
    )
    print(
        "answers: " + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    )
    print(f"memory of the service (RssAnon): {before:.0f} MB before, {after:.0f} MB after\n")
    print(f"{'ms of one picture':24} {'median of rounds':>24}")
    for name, answers in found.items():
        print(f"{name:24} {median_and_spread([answer['ms'] for answer in answers])}")
    posted, scored = ([answer["ms"] for answer in answers] for answers in found.values())
    print(f"{'ratio':24} {median_and_spread(ratios(posted, scored))}")
    if wrong or told:
        raise SystemExit("\n".join([*wrong[:20], told]))


def _posted(connection: HTTPConnection, files: Sequence[bytes]) -> dict[str, float]:
    items = [Sent(data, 200, None) for data in files]
    attempts = [one for item in items for one in _sent(connection, item)]
    return {"ms": float(np.median([1000 * (one.ended - one.began) for one in attempts]))}


def _scored(detector: Any, paths: Sequence[Path]) -> dict[str, float]:
    ms = []
    for path in paths:
        began = time.perf_counter()
        detector.score_samples([path])
        ms.append(1000 * (time.perf_counter() - began))
    return {"ms": float(np.median(ms))}


if __name__ == "__main__":
    main()
