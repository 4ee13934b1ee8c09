"""The device is chosen by name, and an unknown name lists the ones that are there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_anomaly import ReconstructionDetector
from recon_anomaly.devices import choose_device
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
