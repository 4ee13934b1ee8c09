import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recon_anomaly import InputError, ReconstructionDetector, load
from recon_anomaly.models.ganomaly import GANomalyNetwork
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scoring import exact, reconstruct
from recon_anomaly.steps import TrainingStep
from recon_anomaly.testing import check_model

SMALL = {"kernels": (4, 6), "latent_size": 3}
TERMS = ["adversarial", "contextual", "encoder", "discriminator"]


@pytest.fixture
def network():
    """A small network whose weights are larger than those drawn, so that nothing is all but zero."""
    torch.manual_seed(0)
    network = GANomalyNetwork((14, 16, 2), **SMALL)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.mul_(10)
    return network


@pytest.fixture
def images():
    return torch.rand(5, 2, 14, 16, generator=torch.Generator().manual_seed(1))


def padded(images):
    """Pictures of 14 x 16 as the convolutions see them: 16 x 16, in [-1, 1]."""
    return 2 * torch.cat([images, images[..., -1:, :], images[..., -1:, :]], dim=-2) - 1


@pytest.mark.parametrize(
    ("side", "kernels", "stride", "rest"),
    [
        (1, (64,), 4, 2),
        (3, (64,), 2, 2),
        (5, (64,), 2, 3),
        (13, (64,), 2, 7),
        (16, (64, 128), 4, 4),
        (32, (64, 128, 256), 8, 4),
        (64, (64, 128, 256, 512), 16, 4),
        (256, (64, 128, 256, 512, 512, 512), 64, 4),
        (300, (64, 128, 256, 512, 512, 512), 64, 5),
    ],
)
def test_it_halves_until_the_longer_side_is_below_8(side, kernels, stride, rest):
    """By default 4 positions of 32, 64 and 256 are left, as in the paper, and never a single one."""
    with torch.device("meta"):
        network = GANomalyNetwork((side, side, 3))
    for part in (network.encoder, network.second_encoder, network.discriminator.features):
        found = [layer for layer in part if isinstance(layer, nn.Conv2d)]
        assert tuple(layer.out_channels for layer in found[: len(kernels)]) == kernels
        assert {(layer.kernel_size, layer.stride) for layer in found[: len(kernels)]} == {
            ((4, 4), (2, 2))
        }
    assert network.stride == stride
    assert network.encoder[-1].kernel_size == network.decoder[0].kernel_size == (rest, rest)
    assert network.discriminator.classifier.kernel_size == (rest, rest)
    assert network.encoder[-1].out_channels == 100


def test_the_layers_are_those_of_dcgan():
    """No biases, normalisation but at the first and last layer, leaky slopes, and weights of N(0, 0.02²)."""
    torch.manual_seed(0)
    network = GANomalyNetwork((32, 32, 3))
    encoder = [type(layer) for layer in network.encoder]
    middle = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert encoder == [nn.Conv2d, nn.LeakyReLU, *middle, *middle, nn.Conv2d]
    assert [type(layer) for layer in network.discriminator.features] == encoder[:-1]
    back = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in network.decoder] == [*back, *back, *back, nn.ConvTranspose2d]
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.bias is None
            if layer.weight.numel() > 10000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        elif isinstance(layer, nn.LeakyReLU):
            assert layer.negative_slope == 0.2
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.3)
            assert not layer.bias.any()


def test_it_keeps_every_contract():
    """The checks for plugin authors pass, with few kernels."""
    check_model("ganomaly", SMALL)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 1), (1, 40, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width_trains_on_a_single_picture(shape):
    """Odd sizes and single pixels come back in their size; normalisation never meets a single value."""
    height, width, channels = shape
    image = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = GANomalyNetwork(shape, latent_size=3).train()
    terms = TrainingStep(network)(image, image)
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert reconstruct(network.eval(), image).mean.shape == image.shape


def test_many_layers_leave_more_than_one_position():
    """Where the kernels that are given would halve a picture to one position, it is padded to two."""
    network = GANomalyNetwork((8, 8, 1), latent_size=2, kernels=(2, 2, 2))
    assert network.stride == 16
    assert network.encoder[-1].kernel_size == (2, 2)
    image = torch.zeros(1, 1, 8, 8)
    assert all(term.isfinite() for term in TrainingStep(network)(image, image).values())


def test_the_recipe_is_the_authors():
    """15 epochs of batches of 64 at 0.0002, neither plateau rule nor early stopping, a latent of 100."""
    assert dict(GANomalyNetwork.recipe) == {
        "epochs": 15,
        "batch_size": 64,
        "learning_rate": 2e-4,
        "reduce_learning_rate": False,
        "early_stopping": False,
    }


def test_the_three_parts_follow_each_other(network, images):
    """Pixels are the decoder's hyperbolic tangent in [0, 1]; the second code is of the cropped reconstruction."""
    network.eval()
    found = reconstruct(network, images)
    code = network.encoder(padded(images))
    mean = (network.decoder(code).tanh()[..., :14, :] + 1) / 2
    torch.testing.assert_close(found.code, code[..., 0, 0])
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.second_code, network.second_encoder(padded(mean))[..., 0, 0])
    assert found.mean.min() >= 0
    assert found.mean.max() <= 1
    assert found.log_variance is found.latent_mean is found.latent_log_variance is None


def test_the_terms_are_the_papers(network, images):
    """Each is worked out by plain means, and torch's binary cross-entropy for the discriminator's."""
    network.eval()
    found = reconstruct(network, images)
    terms = network.losses(images, found)
    assert list(terms) == TERMS
    real, real_logits = network.discriminator(padded(images))
    made, made_logits = network.discriminator(padded(found.mean))
    torch.testing.assert_close(terms["adversarial"], ((real - made) ** 2).sum() / real.numel())
    pixels = ((2 * images - 1) - (2 * found.mean - 1)).abs().sum() / images.numel()
    torch.testing.assert_close(terms["contextual"], 50 * pixels)
    codes = ((found.code - found.second_code) ** 2).sum() / (5 * 3)
    torch.testing.assert_close(terms["encoder"], codes)
    on_real = F.binary_cross_entropy(real_logits.sigmoid(), torch.ones(5))
    on_made = F.binary_cross_entropy(made_logits.sigmoid(), torch.zeros(5))
    torch.testing.assert_close(terms["discriminator"], (on_real + on_made) / 2)


def test_the_adversarial_term_matches_features_and_no_answers(network, images):
    """What the discriminator answers is not looked at: another classifier gives the same term."""
    network.eval()
    found = reconstruct(network, images)
    before = network.losses(images, found)
    with torch.no_grad():
        network.discriminator.classifier.weight.neg_()
    after = network.losses(images, found)
    assert torch.equal(after["adversarial"], before["adversarial"])
    assert not torch.isclose(after["discriminator"], before["discriminator"])


MOVES = {
    "adversarial": ("encoder.", "decoder."),
    "contextual": ("encoder.", "decoder."),
    "encoder": ("encoder.", "decoder.", "second_encoder."),
    "discriminator": ("discriminator.",),
}


@pytest.mark.parametrize("term", TERMS)
def test_each_term_moves_its_own_player(term, network, images):
    """The discriminator's leaves the generator's weights without a gradient, and the others leave its."""
    network.train()
    network.losses(images, reconstruct(network, images))[term].backward()
    for name, parameter in network.named_parameters():
        if name.startswith(MOVES[term]):
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_a_step_is_that_of_two_optimisers(network, images):
    """One Adam over all terms moves every weight as an Adam for each player does, on one and the same batch."""
    other = copy.deepcopy(network)
    one = torch.optim.Adam(network.parameters(), lr=0.01)
    players = {
        name: torch.optim.Adam(
            [part for key, part in other.named_parameters() if key.startswith("disc") == name],
            lr=0.01,
        )
        for name in (True, False)
    }
    for _ in range(2):
        one.zero_grad()
        sum(TrainingStep(network)(images, images).values()).backward()
        one.step()

        other.zero_grad()
        found = reconstruct(other, images)
        real, real_logits = other.discriminator(padded(images))
        _, made_logits = other.discriminator(padded(found.mean.detach()))
        watched = copy.deepcopy(other.discriminator)
        generator = (
            F.mse_loss(watched(padded(found.mean))[0], real.detach())
            + 50 * F.l1_loss(2 * found.mean, 2 * images)
            + F.mse_loss(found.code, found.second_code)
        )
        generator.backward()
        players[False].step()
        answers = torch.cat([real_logits, made_logits])
        labels = torch.cat([torch.ones(5), torch.zeros(5)])
        F.binary_cross_entropy_with_logits(answers, labels).backward()
        players[True].step()
    for (name, part), wanted in zip(
        network.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(part, wanted, msg=name, rtol=1e-3, atol=1e-4)  # fmt: skip


def test_the_generator_s_look_leaves_no_trace_in_the_statistics(network, images):
    """In training the discriminator's running means are those of pictures, then of reconstructions, once each."""
    wanted = copy.deepcopy(network.train())
    found = network.losses(images, reconstruct(network, images))
    assert found["adversarial"] > 0
    made = reconstruct(wanted, images).mean
    with torch.no_grad():
        wanted.discriminator(padded(images))
        wanted.discriminator(padded(made))
    buffers = dict(network.discriminator.named_buffers())
    assert buffers["features.3.num_batches_tracked"] == 2
    for name, part in wanted.discriminator.named_buffers():
        torch.testing.assert_close(buffers[name], part, msg=name)


def test_scores_take_running_statistics(network, images):
    """In training a picture's reconstruction depends on its batch, in evaluation it does not."""
    network.train()
    together, alone = (reconstruct(network, part).mean[:1] for part in (images, images[:1]))
    assert not torch.allclose(together, alone, atol=1e-3)
    network.eval()
    before = copy.deepcopy(network.state_dict())
    together, alone = (reconstruct(network, part).mean[:1] for part in (images, images[:1]))
    torch.testing.assert_close(together, alone)
    with exact():
        network.losses(images, reconstruct(network, images))
    assert all(torch.equal(before[name], part) for name, part in network.state_dict().items())


def test_half_precision_ends_at_the_decoder(network, images):
    """Under autocast pixels are float32, the losses see float32, and the terms are near those of float32."""
    wanted = TrainingStep(copy.deepcopy(network))(images, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert reconstruct(copy.deepcopy(network), images).mean.dtype == torch.float32
    terms = TrainingStep(network, torch.bfloat16)(images, images)
    sum(terms.values()).backward()
    for name, term in terms.items():
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(wanted[name].item(), rel=0.05)
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


def test_training_lowers_the_generator_s_terms(good):
    """On pictures that were not trained on, reconstructions and codes come nearer."""
    detector = ReconstructionDetector(
        "ganomaly", model_params=SMALL, epochs=30, batch_size=8, learning_rate=0.002,
        schedule_params={"keeps": "last"},
    ).fit(good[:32], validation_data=good[32:])  # fmt: skip
    first, last = detector.history_.records[0].validation, detector.history_.records[-1].validation
    assert last["contextual"] < 0.5 * first["contextual"]
    assert detector.history_.kept_epoch == 30


def test_the_latent_score_finds_bad_pictures(good, bad, tmp_path):
    """Codes of pictures with a bright corner and of their reconstructions lie further apart, also when loaded."""
    detector = ReconstructionDetector(
        "ganomaly", model_params=SMALL, epochs=30, batch_size=8, learning_rate=0.002,
        scorer="latent-distance",
    ).fit(good)  # fmt: skip
    scores = detector.anomaly_score(bad)
    assert scores.min() > sorted(detector.anomaly_score(good))[20]
    with exact():
        pictures = torch.from_numpy(bad).permute(0, 3, 1, 2) / 255
        found = reconstruct(detector.network_, pictures)
        wanted = (found.code - found.second_code).abs().sum(1)
    assert scores == pytest.approx(wanted.double().numpy(), rel=1e-5)
    detector.save(tmp_path / "gan.safetensors")
    assert (load(tmp_path / "gan.safetensors").anomaly_score(bad) == scores).all()


def test_the_reconstruction_of_another_network_is_no_code():
    """The terms want both codes."""
    pictures = torch.zeros(1, 1, 4, 4)
    with pytest.raises(AssertionError):
        GANomalyNetwork((4, 4, 1), **SMALL).losses(pictures, Reconstruction(pictures))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"latent_size": 0}, "latent_size is 0; give"),
        ({"latent_size": 2.5}, "latent_size is 2.5; give"),
        ({"kernels": ()}, r"kernels is \(\); give"),
        ({"kernels": (4, 0)}, r"kernels is \(4, 0\); give"),
        ({"kernels": 4}, "kernels is 4; give a list"),
    ],
)
def test_bad_parameters_are_refused(params, message, good):
    """The error shows what was given."""
    with pytest.raises(InputError, match=message):
        ReconstructionDetector("ganomaly", model_params=params, epochs=1).fit(good)
