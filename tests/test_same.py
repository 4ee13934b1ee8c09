"""Same in, same out: in other threads, with another number of them, and with torch left as it was."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from recon_anomaly import ReconstructionDetector, load
from recon_anomaly.registry import offers

MODELS = [offer.name for offer in offers("model") if offer.plugin == "builtin"]
CLOSED = ("brightness", "feature-pca", "mean", "nearest", "pca")


@pytest.fixture(scope="module")
def fitted(drawn_weights):
    """Fit a model once, on seeded pictures."""
    made = {}

    def fit(model):
        if model not in made:
            pictures = np.random.default_rng(0).integers(60, 190, (12, 16, 16, 1), np.uint8)
            recipe = {} if model in CLOSED else {"epochs": 1}
            detector = ReconstructionDetector(model, random_state=0, device="cpu", **recipe)
            made[model] = detector.fit(pictures)
        return made[model]

    return fit


@pytest.fixture
def threads():
    """Set how many threads torch computes on, and set it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def pictures():
    """Pictures that no model has seen."""
    return np.random.default_rng(1).integers(0, 256, (9, 16, 16, 1), np.uint8)


@pytest.mark.parametrize("model", MODELS)
def test_several_threads_score_with_one_detector(fitted, pictures, model):
    """Eight at once, by two scorers, get the bits that one alone gets."""
    detector = fitted(model)
    others = [detector, detector.with_scorer("l1", pictures)]
    wanted = [one.anomaly_score(pictures).tolist() for one in others]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda k: others[k % 2].anomaly_score(pictures).tolist(), range(24))
        assert all(scores == wanted[k % 2] for k, scores in enumerate(found))


@pytest.mark.parametrize("model", MODELS)
def test_another_number_of_threads_changes_rounding_alone(fitted, pictures, threads, model):
    """On one, two and three threads scores agree within 1e-5 of themselves."""
    detector = fitted(model)
    wanted = detector.anomaly_score(pictures)
    for count in (1, 2, 3):
        threads(count)
        assert detector.anomaly_score(pictures) == pytest.approx(wanted, rel=1e-5)


def _torch():
    cudnn = torch.backends.cudnn
    return (
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"),
        cudnn.benchmark,
        cudnn.deterministic,
        np.geterr(),
        list(warnings.filters),
    )


@pytest.mark.parametrize("model", ["cvae", "pca", "feature-pca", "ganomaly"])
def test_the_settings_of_torch_and_numpy_are_left_as_they_were(fitted, pictures, tmp_path, model):
    """Thread counts, default types, precisions, error states and filters of warnings, after every call."""
    before = _torch()
    for call in (
        lambda: fitted(model),
        lambda: fitted(model).predict(pictures),
        lambda: fitted(model).anomaly_map(pictures),
        lambda: fitted(model).p_value(pictures),
        lambda: fitted(model).with_scorer("standardised", pictures),
        lambda: fitted(model).save(tmp_path / "a.safetensors"),
        lambda: (
            load(tmp_path / "a.safetensors").reconstruct(pictures)
            if model != "feature-pca"
            else load(tmp_path / "a.safetensors")
        ),
    ):
        call()
        assert _torch() == before


def test_loading_in_several_threads_leaves_the_generator(fitted, pictures, tmp_path):
    """Each has the detector that was saved, and torch's generator goes on where it was."""
    fitted("cvae").save(tmp_path / "a.safetensors")
    wanted = fitted("cvae").anomaly_score(pictures).tolist()
    before = torch.get_rng_state()
    with ThreadPoolExecutor(6) as pool:
        loaded = pool.map(lambda _: load(tmp_path / "a.safetensors", device="cpu"), range(18))
        assert all(one.anomaly_score(pictures).tolist() == wanted for one in loaded)
    assert torch.equal(torch.get_rng_state(), before)
