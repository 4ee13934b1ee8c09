"""The device is chosen by name, and an unknown name lists the ones that are there."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from recon_anomaly import ReconstructionDetector
from recon_anomaly.devices import choose_device, choose_precision
from recon_anomaly.errors import InputError


def pretend(monkeypatch, *, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(cuda, mps, expected, monkeypatch):
    """Auto is the first device that is there."""
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device("auto").type == expected


def test_cpu_is_the_cpu_beside_better_devices(monkeypatch):
    """A device that is named is taken, even where a faster one is there."""
    pretend(monkeypatch, cuda=True, mps=True)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda", "cuda:7", "mps", "meta", "cpu:x", None, 0])
def test_unknown_devices_list_the_known_ones(name, monkeypatch):
    """A name that torch does not know, or that is not there, is refused with the known names."""
    pretend(monkeypatch, cuda=False, mps=False)
    with pytest.raises(InputError, match=r"known are: auto, cpu$") as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)


def test_the_list_has_what_the_machine_has(monkeypatch):
    """The known names are those of this machine."""
    pretend(monkeypatch, cuda=True, mps=False)
    with pytest.raises(InputError, match=r"known are: auto, cuda, cpu$"):
        choose_device("mps")


def test_a_detector_refuses_an_unknown_device_before_it_reads_pictures():
    """Fit finds a wrong device first, however wrong the pictures are."""
    with pytest.raises(InputError, match="device='gpu' is not available here; known are: auto"):
        ReconstructionDetector("mean", device="gpu").fit("/no/such/folder")


def test_a_network_without_tensors_scores_on_the_named_device(good):
    """A scoring detector needs no tensor in its network to know where to compute."""

    class Gray(torch.nn.Module):
        def __init__(self, image_shape):
            super().__init__()

        def fit_batches(self, batches):
            pass

        def forward(self, images):
            from recon_anomaly import Reconstruction

            return Reconstruction(torch.full_like(images, 0.5))

        def losses(self, target, reconstruction):
            return {"reconstruction": (target - reconstruction.mean).square().mean()}

    scores = ReconstructionDetector(Gray, device="cpu").fit(good).anomaly_score(good)
    assert scores == pytest.approx(((good / 255 - 0.5) ** 2).mean((1, 2, 3)), rel=1e-5)
    assert scores.dtype == np.float64


BIG, SMALL = 2**18, 2**18 - 1


@pytest.fixture
def gpu(monkeypatch):
    """GPUs of which those that are named in the set compute in bfloat16; what is asked goes to the list."""
    inside, able, asked = [], set(), []

    @contextmanager
    def device(chosen):
        inside.append(torch.device(chosen))
        yield
        inside.pop()

    def is_bf16_supported(including_emulation=True):
        asked.append((str(inside[-1]), including_emulation))
        # An old GPU that only pretends would be slower in bfloat16.
        return including_emulation or asked[-1][0] in able

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    return able, asked


@pytest.mark.parametrize(
    ("name", "device", "pixels", "expected"),
    [
        ("auto", "cuda", SMALL, torch.bfloat16),
        ("auto", "cpu", BIG, torch.bfloat16),
        ("auto", "cpu", SMALL, torch.float32),
        ("auto", "mps", BIG, torch.float32),
        ("float32", "cuda", BIG, torch.float32),
        ("bfloat16", "cpu", SMALL, torch.bfloat16),
    ],
)
def test_auto_precision_is_bfloat16_where_it_is_faster(
    name, device, pixels, expected, gpu, monkeypatch
):
    """Auto is bfloat16 on CUDA, and for large batches on processors with matrix extensions."""
    gpu[0].add("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert choose_precision(name, torch.device(device), pixels) == expected


def test_auto_precision_asks_the_gpu_that_trains(gpu):
    """Of two GPUs the one that is named is asked, and whether it emulates bfloat16 does not count."""
    able, asked = gpu
    able.add("cuda:1")
    assert choose_precision("auto", torch.device("cuda:0"), BIG) == torch.float32
    assert choose_precision("auto", torch.device("cuda:1"), BIG) == torch.bfloat16
    assert asked == [("cuda:0", False), ("cuda:1", False)]


def test_auto_precision_is_float32_without_the_hardware(gpu, monkeypatch):
    """A processor or a GPU without bfloat16, or a torch that cannot tell, trains in float32."""
    assert choose_precision("auto", torch.device("cuda"), BIG) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert choose_precision("auto", torch.device("cpu"), BIG) == torch.float32
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", torch.device("cpu"), BIG) == torch.float32


def test_an_unknown_precision_lists_the_known_ones():
    """A wrong name is refused with the names that are known."""
    with pytest.raises(InputError, match="precision='half' is unknown; it may be: auto, float32"):
        choose_precision("half", torch.device("cpu"), 1)


def test_bfloat16_is_refused_where_it_is_not_known_to_work():
    """Apple's GPUs are not asked for what has not been tried."""
    with pytest.raises(InputError, match="precision='bfloat16' is not known to work on 'mps'"):
        choose_precision("bfloat16", torch.device("mps"), BIG)
