import copy

import pytest
import torch
from torch import nn

from recon_anomaly import InputError, ReconstructionDetector, load
from recon_anomaly.models.contractive import ContractiveAENetwork
from recon_anomaly.randomness import Part, noise_of, seeded
from recon_anomaly.scoring import exact, reconstruct
from recon_anomaly.steps import TrainingStep
from recon_anomaly.testing import check_model

CPU = torch.device("cpu")
SHAPE = (7, 6, 2)


@pytest.fixture
def network():
    """A tiny network, of pictures that are padded."""
    torch.manual_seed(0)
    return ContractiveAENetwork(SHAPE, kernels=(3, 4))


@pytest.fixture
def images():
    return torch.rand(3, 2, 7, 6, generator=torch.Generator().manual_seed(1))


def jacobians(network, images):
    """The whole Jacobian of each picture's code by its own pixels: (n, units, pixels)."""
    found = []
    for image in images:
        jacobian = torch.func.jacrev(lambda one: network.code(one[None]).flatten())(image)
        found.append(jacobian.flatten(1))
    return torch.stack(found)


def test_the_shapes_are_those_of_the_cae():
    """(256, 256, 3) is encoded as (64, 64, 64) and comes back in its size."""
    network = ContractiveAENetwork((256, 256, 3)).eval()
    with torch.inference_mode():
        assert network.code(torch.zeros(1, 3, 256, 256)).shape == (1, 64, 64, 64)
        assert network(torch.zeros(1, 3, 256, 256)).mean.shape == (1, 3, 256, 256)


def test_it_keeps_every_contract():
    """The checks for plugin authors pass, with few kernels."""
    check_model("contractive-ae", {"kernels": (2, 3)})


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(shape):
    """Odd sizes and single pixels come back in their own size."""
    height, width, channels = shape
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    network = ContractiveAENetwork(shape, kernels=(2, 3, 4)).eval()
    assert reconstruct(network, images).mean.shape == images.shape


def test_the_decoder_has_the_encoder_s_weights(network):
    """Each transposed convolution shares the kernel of the convolution that it mirrors, also in a copy."""
    for one in (network, copy.deepcopy(network)):
        convolutions = [layer for layer in one.encoder if isinstance(layer, nn.Conv2d)]
        mirrored = [layer for layer in one.decoder if isinstance(layer, nn.ConvTranspose2d)]
        assert len(convolutions) == len(mirrored) == 2
        for convolution, transposed in zip(convolutions, mirrored[::-1], strict=True):
            assert convolution.weight is transposed.weight
            assert convolution.bias is not transposed.bias


def test_moved_is_the_jacobian_times_the_direction(network, images):
    """For each picture its own whole Jacobian, by reverse differentiation, times its own direction."""
    directions = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    wanted = torch.einsum("nup,np->nu", jacobians(network, images), directions.flatten(1))
    torch.testing.assert_close(network.moved(images, directions).flatten(1), wanted)


def test_all_directions_together_are_the_frobenius_norm(network, images):
    """Along each pixel in turn the squares add up to the squared norm of the whole Jacobian."""
    pixels = torch.eye(images[0].numel()).reshape(-1, *images.shape[1:])
    for image, jacobian in zip(images, jacobians(network, images), strict=True):
        moved = network.moved(image.expand_as(pixels), pixels)
        torch.testing.assert_close(moved.square().sum(), jacobian.square().sum())


def test_the_estimate_is_the_frobenius_norm_on_average(network, images):
    """The mean of 4000 terms in training lies within four standard errors of the exact one."""
    squares = jacobians(network, images).square().sum((1, 2))
    wanted = network.penalty * squares.mean() / images[0].numel()
    many = images.repeat(100, 1, 1, 1)
    made = reconstruct(network, many)
    with seeded(CPU, 3), torch.no_grad():
        terms = [network.losses(many, made)["contraction"] for _ in range(40)]
    terms = torch.stack(terms).double()
    error = terms.std() / len(terms) ** 0.5
    assert error < 0.01 * wanted
    assert abs(terms.mean() - wanted) < 4 * error


def test_the_term_has_the_gradient_of_the_jacobian_s_square(network, images):
    """By its weights, along the fixed direction, it is that of the whole Jacobian times the direction."""
    network.eval()
    network.losses(images, reconstruct(network, images))["contraction"].backward()
    found = {name: parameter.grad.clone() for name, parameter in network.named_parameters()
             if parameter.grad is not None}  # fmt: skip
    network.zero_grad()
    moved = jacobians(network, images) @ network.direction.flatten()
    wanted = network.penalty * moved.square().sum(1).mean() / images[0].numel()
    wanted.backward()
    assert found
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, dict(network.named_parameters())[name].grad)
        if name.endswith("weight"):
            assert gradient.any()


def test_every_parameter_learns(network, images):
    """The reconstruction has a gradient, not zero all over, for each weight and bias."""
    terms = network.losses(images, reconstruct(network, images))
    assert list(terms) == ["reconstruction", "contraction"]
    terms["reconstruction"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_reconstruction_term_is_the_mean_of_the_pictures_rmse(network, images):
    """As the CAE's."""
    found = reconstruct(network, images)
    each = [
        (image - mean).square().mean().sqrt()
        for image, mean in zip(images, found.mean, strict=True)
    ]
    term = network.losses(images, found)["reconstruction"]
    torch.testing.assert_close(term, torch.stack(each).mean())


def test_in_evaluation_the_term_is_repeatable_in_every_mode(network, images):
    """With gradients, without, and in inference mode it is the same, and no random number is drawn."""
    network.eval()
    state = torch.get_rng_state()
    with_gradients = network.losses(images, reconstruct(network, images))["contraction"].detach()
    with torch.no_grad():
        without = network.losses(images, reconstruct(network, images))["contraction"]
    with exact():
        inside = network.losses(images, reconstruct(network, images))["contraction"]
        again = network.losses(images, reconstruct(network, images))["contraction"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(inside, again)
    torch.testing.assert_close(without, with_gradients)
    torch.testing.assert_close(inside, with_gradients)
    assert inside > 0


def test_in_evaluation_a_picture_s_term_is_its_own(network, images):
    """The term of a batch is the mean of the pictures' terms: one direction serves them all."""
    network.eval()
    whole = network.losses(images, reconstruct(network, images))["contraction"]
    alone = [
        network.losses(image[None], reconstruct(network, image[None]))["contraction"]
        for image in images
    ]
    torch.testing.assert_close(whole, torch.stack(alone).mean())


def test_in_training_a_picture_s_direction_belongs_to_its_place(network, images):
    """Two processes that share the batch have together the term of one, and another step has another."""
    terms = {}
    for key, part in {"whole": None, "first": Part(0, 2, 3), "rest": Part(2, 1, 3)}.items():
        chosen = images if part is None else images[part.first : part.first + part.length]
        with noise_of(CPU, part, 1, 2, 3):
            terms[key] = network.losses(chosen, reconstruct(network, chosen))["contraction"]
    torch.testing.assert_close(terms["whole"], (2 * terms["first"] + terms["rest"]) / 3)
    with noise_of(CPU, None, 1, 2, 4):
        other = network.losses(images, reconstruct(network, images))["contraction"]
    assert not torch.isclose(other, terms["whole"], rtol=1e-3)


def test_nothing_of_it_is_computed_when_pictures_are_scored(network, images, monkeypatch):
    """A reconstruction is a pass through encoder and decoder."""
    monkeypatch.setattr(network, "moved", lambda *_: pytest.fail("a derivative was taken"))
    with exact():
        reconstruct(network.eval(), images)


def test_it_trains_in_half_precision(network, images):
    """Under autocast the terms are near those of float32, and each weight has a float32 gradient."""
    with noise_of(CPU, None, 0):
        wanted = TrainingStep(network)(images, images)
    with noise_of(CPU, None, 0):
        terms = TrainingStep(network, torch.bfloat16)(images, images)
    sum(terms.values()).backward()
    for name, term in terms.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(wanted[name].item(), rel=0.01)
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


def test_a_larger_penalty_contracts_more(good):
    """Trained with it, the exact norm at pictures that were not trained on is smaller."""
    norms = {}
    pictures = torch.from_numpy(good[32:35]).permute(0, 3, 1, 2) / 255
    for penalty in (0.0, 10.0):
        params = {"kernels": (2, 4), "penalty": penalty}
        detector = ReconstructionDetector("contractive-ae", model_params=params, epochs=15)
        detector.fit(good[:32], validation_data=good[32:])
        with torch.no_grad():
            norms[penalty] = jacobians(detector.network_, pictures).square().sum().item()
    assert norms[10.0] < 0.5 * norms[0.0]


def test_a_saved_one_scores_alike(good, bad, tmp_path):
    """Shared weights come back shared, the fixed direction is not stored, and scores are bit-equal."""
    detector = ReconstructionDetector(
        "contractive-ae", model_params={"kernels": (2, 3)}, epochs=1
    ).fit(good)
    detector.save(tmp_path / "contractive.safetensors")
    loaded = load(tmp_path / "contractive.safetensors")
    assert "direction" not in detector.network_.state_dict()
    assert torch.equal(loaded.network_.direction, detector.network_.direction)
    assert loaded.network_.decoder[0].weight is loaded.network_.encoder[-2].weight
    assert (loaded.anomaly_score(bad) == detector.anomaly_score(bad)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"penalty": -1.0}, "penalty is -1.0; give a finite number from 0 on"),
        ({"penalty": float("nan")}, "penalty is nan"),
        ({"kernels": (4, 0)}, r"kernels is \(4, 0\); give"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    """The error shows what was given and what is wanted."""
    with pytest.raises(InputError, match=message):
        ContractiveAENetwork((8, 8, 1), **params)
