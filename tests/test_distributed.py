"""Several processes that train one network together do what one process does."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher import LaunchConfig, elastic_launch

import recon_anomaly
from recon_anomaly import distributed
from recon_anomaly.distributed import ALONE, Ranks, is_first, own_device, ranks_of
from recon_anomaly.errors import InputError
from recon_anomaly.randomness import Part

SCRIPT = Path(__file__).with_name("distributed_run.py")
_spec = importlib.util.spec_from_file_location("distributed_run", SCRIPT)
distributed_run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(distributed_run)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": os.devnull}


def torchrun(*arguments):
    """Start two processes of a module under torchrun, and return the finished command."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--module", *map(str, arguments)]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            stdout, stderr = started.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            _end(started)
            raise
    return subprocess.CompletedProcess(command, started.returncode, stdout, stderr)


def _end(started):
    """End torchrun and what it started: it ends its own processes, which are no part of its group."""
    started.terminate()
    try:
        started.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def forked(tmp_path_factory, fork_server):
    """Run a script as torchrun does, by its launcher, in processes that need not import torch first.

    Returns what the launcher raised, if a process failed, and the standard error of all.
    """

    def run(script, *arguments, processes=2):
        logs = tmp_path_factory.mktemp("logs")
        config = LaunchConfig(
            1,
            1,
            processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            start_method="forkserver",
            logs_specs=DefaultLogsSpecs(log_dir=str(logs), redirects=Std.ERR),
        )
        names = [str(name) for name in (script, *arguments)]
        code = f"import runpy, sys; sys.argv = {names}; runpy.run_path(sys.argv[0], run_name='__main__')"
        failed = None
        # In a thread the launcher leaves the signals of this process alone.
        with ThreadPoolExecutor(1) as launcher:
            launched = launcher.submit(elastic_launch(config, exec), code)
            try:
                launched.result(timeout=120)
            except ChildFailedError as error:
                failed = str(error)
            except TimeoutError:
                for process in multiprocessing.active_children():
                    process.kill()
                raise
        return failed, "".join(path.read_text() for path in sorted(logs.rglob("stderr.log")))

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory, forked):
    """The folder where one process, two and three have each trained, and all but three raced."""
    folder = tmp_path_factory.mktemp("trained")
    distributed_run.train(distributed_run.DoubleCVAE, folder)
    distributed_run.train("cvae", folder, model_params=distributed_run.PARAMS)
    distributed_run.train_idle(folder)
    distributed_run.measure(folder)
    distributed_run.race(folder / "alone", folder)
    for processes in (2, 3):
        (folder / str(processes)).mkdir()
        failed, stderr = forked(SCRIPT, "train", folder / str(processes), processes=processes)
        assert failed is None, stderr
    return folder


def losses(path):
    """The loss terms of every epoch, training and validation: (20, 4)."""
    records = json.loads(path.read_text())["records"]
    assert len(records) == 20
    return np.array(
        [[*record["training"].values(), *record["validation"].values()] for record in records]
    )


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize(("name", "tolerance"), [("DoubleCVAE", 1e-10), ("cvae", 1e-3)])
def test_processes_reach_the_losses_of_one(trained, processes, name, tolerance):
    """Twenty steps of a batch of 11, shared unevenly, and four batches to validate on give the losses of one."""
    alone = losses(trained / f"{name}-alone.json")
    for rank in range(processes):
        together = losses(trained / str(processes) / f"{name}-{rank}.json")
        np.testing.assert_allclose(together, alone, rtol=tolerance)


@pytest.mark.parametrize("processes", [2, 3])
def test_a_process_without_a_picture_changes_nothing(trained, processes):
    """Batches smaller than the processes are many, where some only stand in, give the losses of one, too."""
    alone = losses(trained / "idle-alone.json")
    for rank in range(processes):
        together = losses(trained / str(processes) / f"idle-{rank}.json")
        np.testing.assert_allclose(together, alone, rtol=1e-10)


@pytest.mark.parametrize("processes", [2, 3])
def test_figures_are_those_of_the_first_process(trained, processes):
    """Where the processes would measure other figures, all go on with the first one's."""
    expected = json.loads((trained / "figures-alone.json").read_text())
    assert len(expected["figures"]) == 3
    # Turned round, as the others measure it, no figure would be the same.
    assert all(figures["auroc"] != 0.5 for figures in expected["figures"])
    for rank in range(processes):
        found = json.loads((trained / str(processes) / f"figures-{rank}.json").read_text())
        assert found == expected


def test_every_process_ends_with_the_same_detector(trained):
    """Weights and scores are the same bits in both processes."""
    first, second = (
        json.loads((trained / "2" / f"cvae-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert first["weights"] == second["weights"]
    assert first["scores"] == second["scores"]


def test_only_the_first_process_saves(trained):
    """What every process was told to save is written by rank 0 alone, and loads."""
    assert [path.name for path in (trained / "2").glob("*.safetensors")] == ["by-0.safetensors"]
    detector = recon_anomaly.load(trained / "2" / "by-0.safetensors")
    expected = json.loads((trained / "2" / "cvae-0.json").read_text())["scores"]
    scores = detector.anomaly_score(distributed_run.pictures())
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def failed(tmp_path_factory, forked):
    """The folder of a run that refused other data and then failed in its second epoch, the launcher's error, and what both said."""
    folder = tmp_path_factory.mktemp("failed")
    return folder, *forked(SCRIPT, "fail", folder)


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_see_other_data_are_refused(failed, rank):
    """Where the pictures differ no process trains, and the error names what differs and whose it is."""
    error = json.loads((failed[0] / f"refused-{rank}.json").read_text())
    assert error.startswith("the processes do not train on the same: training pictures")
    assert "of rank 1 differ from rank 0" in error


def test_a_process_that_fails_while_it_trains_ends_the_run(failed):
    """The other one, which waits for its gradients, ends too, and the error of the first is there to read."""
    _, error, said = failed
    assert error is not None
    assert "RuntimeError: the schedule fails here" in said


def test_a_race_with_a_checkpoint_goes_on_in_two_processes(trained):
    """Branches wait in the shared folder, and a run that was left inside one ends as one process does."""
    places = (
        trained / "race-alone.json",
        *(trained / "2" / f"race-{rank}.json" for rank in (0, 1)),
    )
    alone, together, other = (json.loads(place.read_text()) for place in places)
    for history in (together, other):
        assert [lost["path"] for lost in history["lost"]] == [
            lost["path"] for lost in alone["lost"]
        ]
        for record, expected in zip(history["records"], alone["records"], strict=True):
            assert record["path"] == expected["path"]
            assert record["validation"] == pytest.approx(expected["validation"], rel=1e-3)
    assert not list((trained / "2" / "together").glob("branch-*"))


@pytest.mark.parametrize(
    "start", ["its launcher", pytest.param("torchrun", marks=pytest.mark.slow)]
)
def test_the_command_trains_in_two_processes_and_talks_once(tmp_path, save, gray, forked, start):
    """Under torchrun ``fit`` writes one file, and what it says is said once."""
    for number in range(8):
        save(f"{number}.png", gray(number, (12, 12)))
    out, text = tmp_path / "out.safetensors", tmp_path / "out.json"
    command = ["recon_anomaly", "fit", tmp_path, "-o", out, "--epochs", 1, "--image-size", 12]
    command += ["--device", "cpu", "--json"]
    if start == "torchrun":
        done = torchrun(*command)
        assert done.returncode == 0, done.stderr
        stdout, stderr = done.stdout, done.stderr
    else:
        script = tmp_path / "start.py"
        script.write_text(
            "import runpy, sys; "
            f"sys.stdout = open({str(text)!r}, 'a'); sys.argv = {[str(word) for word in command]}; "
            "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
        )
        failed, stderr = forked(script)
        assert failed is None, stderr
        stdout = text.read_text()
    assert stderr.count("cae on 8 pictures") == 1
    assert json.loads(stdout)["pictures"] == 8
    assert len(recon_anomaly.load(out).history_) == 1


def test_a_process_that_fails_ends_the_run_with_its_message(tmp_path, save, gray, forked):
    """The other process does not wait for ever, and the failing one says in one line which it was and why."""
    for number in range(4):
        save(f"{number}.png", gray(number, (12, 12)))
    save("shown.png", gray(9, (12, 12)))
    # Rank 1 alone sees a broken file.
    command = (
        "import os, sys; from recon_anomaly.cli import main; "
        f"sys.argv = ['recon-anomaly', 'fit', os.environ['RANK'] == '1' and {str(tmp_path / 'no')!r} "
        f"or {str(tmp_path)!r}, '-o', {str(tmp_path / 'x.safetensors')!r}, '--device', 'cpu', "
        "'--image-size', '12']; main()"
    )
    script = tmp_path / "start.py"
    script.write_text(command)
    failed, stderr = forked(script)
    assert failed is not None
    assert f"rank 1: error: {tmp_path / 'no'} does not exist" in stderr
    assert not (tmp_path / "x.safetensors").exists()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_parts_are_the_whole_batch(whole, size):
    """The parts of all processes follow each other, are as long as can be, and leave nothing out."""
    parts = [Ranks(rank, size).part_of(whole) for rank in range(size)]
    places = [place for part in parts for place in range(part.first, part.first + part.length)]
    assert places == list(range(whole))
    lengths = [part.length for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert all(part.first < whole for part in parts)  # there is a picture to stand in


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_shares_make_the_mean_of_processes_that_of_the_batch(whole, size):
    """The mean over processes of share times local mean is the mean over the batch."""
    values = np.random.default_rng(whole).normal(size=whole)
    found = []
    for rank in range(size):
        ranks = Ranks(rank, size)
        part = ranks.part_of(whole)
        local = values[part.first : part.first + max(part.length, 1)].mean()
        found.append(ranks.share(part) * local)
    assert np.mean(found) == pytest.approx(values.mean())


def test_a_process_alone_joins_nobody(monkeypatch):
    """Without torchrun, or with one process of it, nothing is wrapped, summed or waited for."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert ranks_of(torch.device("cpu")) is ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert ranks_of(torch.device("cpu")) is ALONE
    assert is_first()
    step = torch.nn.Linear(1, 1)
    assert ALONE.wrapped(step) is step
    assert ALONE.share(None) == 1
    ALONE.check_same({"a": 1})
    ALONE.wait()
    assert Part.of(7, 0, 1) == (0, 7, 7)


def test_processes_cannot_share_a_training_on_other_devices(monkeypatch):
    """Apple's GPUs have no backend to talk by, and the error says what has."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="cannot train together on 'mps'; give device='cpu'"):
        ranks_of(torch.device("mps"))


@pytest.mark.parametrize(
    ("device", "backend"), [("cuda", "nccl"), ("cuda:1", "nccl"), ("cpu", "gloo")]
)
def test_gpus_talk_by_nccl_and_processors_by_gloo(device, backend, monkeypatch):
    """The processes that torchrun started are joined once, over what their devices can talk by."""
    joined, at_exit = [], []
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    dist = distributed.dist
    monkeypatch.setattr(dist, "init_process_group", joined.append)
    monkeypatch.setattr(dist, "is_initialized", lambda: bool(joined))
    monkeypatch.setattr(dist, "get_rank", lambda: 2)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(distributed.atexit, "register", at_exit.append)
    for _ in range(2):
        ranks = ranks_of(torch.device(device))
        assert (ranks.rank, ranks.size, ranks.first, ranks.alone) == (2, 3, False, False)
    assert joined == [backend]
    assert len(at_exit) == 1
    assert not is_first()


def test_processes_on_other_devices_are_refused(monkeypatch):
    """Apple's GPUs know no way to talk, which is said before anything is joined; one process needs none."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        distributed.dist, "init_process_group", lambda *_: pytest.fail("joined the others")
    )
    with pytest.raises(InputError, match="train together on 'mps'; give device='cpu'"):
        ranks_of(torch.device("mps"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert ranks_of(torch.device("mps")) is ALONE


@pytest.mark.parametrize(
    ("device", "local_rank", "expected", "chosen"),
    [
        ("cuda", "1", "cuda:1", ["cuda:1"]),
        ("cuda", None, "cuda", []),
        ("cuda:0", "1", "cuda:0", []),
        ("cpu", "1", "cpu", []),
    ],
)
def test_each_process_of_a_machine_has_its_own_gpu(
    device, local_rank, expected, chosen, monkeypatch
):
    """The place of the process on its machine says which, unless the user does or torchrun did not start it."""
    found = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: found.append(str(device)))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert own_device(torch.device(device)) == torch.device(expected)
    assert found == chosen
