import pytest
import torch
from torch.distributions import Bernoulli
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly import InputError, ReconstructionDetector, load
from recon_anomaly.models.sparse import SparseAENetwork
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scoring import reconstruct
from recon_anomaly.steps import TrainingStep
from recon_anomaly.testing import check_model


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SparseAENetwork((16, 16, 1), kernels=(4, 6, 8))


@pytest.fixture
def images():
    return torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_shapes_are_those_of_the_cae():
    """(256, 256, 3) is encoded as (64, 64, 64), and the code goes with the reconstruction."""
    with torch.inference_mode():
        found = SparseAENetwork((256, 256, 3)).eval()(torch.zeros(1, 3, 256, 256))
    assert found.code.shape == (1, 64, 64, 64)
    assert found.mean.shape == (1, 3, 256, 256)


def test_it_keeps_every_contract():
    """The checks for plugin authors pass, with few kernels."""
    check_model("sparse-ae", {"kernels": (2, 3)})


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(shape):
    """Odd sizes and single pixels come back in their own size."""
    height, width, channels = shape
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    network = SparseAENetwork(shape, kernels=(2, 3, 4)).eval()
    assert reconstruct(network, images).mean.shape == images.shape


def test_the_code_is_a_sigmoid_of_the_last_convolution(network, images):
    """Between 0 and 1, of what the CAE's layers give without the last ReLU, softly kept in [-10, 10]."""
    logits = network.encoder(images)
    assert logits.min() < 0
    kept = 10 * (logits / 10) / (1 + (logits / 10).abs())
    torch.testing.assert_close(network(images).code, 1 / (1 + (-kept).exp()))


def test_the_sparsity_is_that_of_torch_distributions(network, images):
    """The mean over kernels and pictures of KL(Bernoulli(rho) | Bernoulli(mean activation)), times the penalty."""
    found = network(images)
    terms = network.losses(images, found)
    divergences = []
    for code in found.code:
        for kernel in code:
            active = Bernoulli(probs=kernel.mean())
            divergences.append(torch_kl_divergence(Bernoulli(probs=torch.tensor(0.05)), active))
    assert list(terms) == ["reconstruction", "sparsity"]
    wanted = network.penalty * torch.stack(divergences).mean()
    torch.testing.assert_close(terms["sparsity"], wanted)


def test_the_sparsity_of_a_hand_worked_case():
    """Kernels active at a half and at a quarter, with a quarter wanted: log 2 / 2 + 3/4 log 3/4 + ... and 0."""
    network = SparseAENetwork((2, 2, 1), kernels=(2,), sparsity=0.25, penalty=2.0)
    code = torch.tensor([[[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.0], [0.25, 0.25]]]])
    pictures = torch.zeros(1, 1, 2, 2)
    found = network.losses(pictures, Reconstruction(pictures, code=code))["sparsity"]
    # 0.25 log(0.25 / 0.5) + 0.75 log(0.75 / 0.5) = 0.130812, halved for two kernels and doubled.
    assert found.item() == pytest.approx(0.130812, abs=1e-6)


def test_the_reconstruction_term_is_the_mean_of_the_pictures_rmse(network, images):
    """As the CAE's."""
    found = network(images)
    each = [
        (image - mean).square().mean().sqrt()
        for image, mean in zip(images, found.mean, strict=True)
    ]
    term = network.losses(images, found)["reconstruction"]
    torch.testing.assert_close(term, torch.stack(each).mean())


def test_the_terms_of_a_batch_are_the_mean_of_its_parts(network, images):
    """Shared out, two pictures and one weigh as many: no mean activation is taken over the batch."""
    whole = network.losses(images, network(images))
    parts = [network.losses(part, network(part)) for part in (images[:2], images[2:])]
    for name, term in whole.items():
        torch.testing.assert_close(term, (2 * parts[0][name] + parts[1][name]) / 3)


def test_the_sparsity_moves_the_encoder_alone(network, images):
    """Its gradient reaches each weight of the encoder, and none of the decoder."""
    network.losses(images, network(images))["sparsity"].backward()
    for name, parameter in network.named_parameters():
        if name.startswith("encoder."):
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_every_parameter_learns_to_reconstruct(network, images):
    """The reconstruction has a gradient, not zero all over, for each weight and bias."""
    network.losses(images, network(images))["reconstruction"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("bias", [1e4, -1e4])
def test_a_kernel_that_is_driven_away_still_has_a_gradient(network, images, bias):
    """Switched on or off everywhere, the divergence is finite and pulls it back."""
    last = network.encoder[-1]
    with torch.no_grad():
        last.bias.fill_(bias)
    term = network.losses(images, network(images))["sparsity"]
    term.backward()
    assert term.isfinite()
    assert (last.bias.grad * bias > 0).all()


def test_half_precision_ends_before_the_code(network, images):
    """Under autocast code and pixels are float32, so that the terms are near those of float32."""
    exact = network.losses(images, network(images))
    with torch.autocast("cpu", torch.bfloat16):
        found = network(images)
    assert found.code.dtype == found.mean.dtype == torch.float32
    rough = TrainingStep(network, torch.bfloat16)(images, images)
    for name, term in rough.items():
        assert term.item() == pytest.approx(exact[name].item(), rel=0.01)


def test_a_larger_penalty_makes_the_code_sparser(good):
    """Trained with it, the mean activations of pictures that were not trained on are nearer to what is wanted."""
    distances = {}
    for penalty in (0.0, 1.0):
        params = {"kernels": (4, 8), "penalty": penalty}
        detector = ReconstructionDetector("sparse-ae", model_params=params, epochs=15)
        detector.fit(good[:32], validation_data=good[32:])
        with torch.inference_mode():
            pictures = torch.from_numpy(good[32:]).permute(0, 3, 1, 2) / 255
            rates = detector.network_(pictures).code.mean((2, 3))
        distances[penalty] = (rates - 0.05).abs().mean().item()
    assert distances[1.0] < 0.5 * distances[0.0]


def test_the_schedule_weighs_the_penalty_once_more(good):
    """A weight for the term is multiplied with what is in the term already."""
    schedule = {"schedule_params": {"weights": {"sparsity": 3}}}
    detector = ReconstructionDetector(
        "sparse-ae", model_params={"kernels": (2, 3)}, epochs=1, **schedule
    ).fit(good)
    (record,) = detector.history_.records
    terms = record.training
    wanted = terms["reconstruction"] + 3 * terms["sparsity"]
    assert record.weighted_training_loss == pytest.approx(wanted)


def test_a_saved_one_scores_alike(good, bad, tmp_path):
    """It comes back with its parameters, and its scores are the same bit for bit."""
    params = {"kernels": (2, 3), "sparsity": 0.1}
    detector = ReconstructionDetector("sparse-ae", model_params=params, epochs=1).fit(good)
    detector.save(tmp_path / "sparse.safetensors")
    loaded = load(tmp_path / "sparse.safetensors")
    assert loaded.network_.sparsity == 0.1
    assert (loaded.anomaly_score(bad) == detector.anomaly_score(bad)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sparsity": 0.0}, "sparsity is 0.0; give a share between 0 and 1"),
        ({"sparsity": 1}, "sparsity is 1; give a share between 0 and 1"),
        ({"sparsity": "few"}, "sparsity is 'few'; give a share between 0 and 1"),
        ({"penalty": -1.0}, "penalty is -1.0; give a finite number from 0 on"),
        ({"kernels": ()}, r"kernels is \(\); give"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    """The error shows what was given and what is wanted."""
    with pytest.raises(InputError, match=message):
        SparseAENetwork((8, 8, 1), **params)
