"""A small autoencoder over frozen features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recon_anomaly import ReconstructionDetector
from recon_anomaly.errors import InputError
from recon_anomaly.models.feature_ae import FeatureAutoencoder


def test_the_layers_narrow_and_widen_again():
    """176 channels of three scales become 110, 88, 44 and back, position by position."""
    network = FeatureAutoencoder((64, 64, 3))
    parts = [part for part in (*network.encoder, *network.decoder) if isinstance(part, nn.Conv2d)]
    assert [part.in_channels for part in parts] == [176, 110, 88, 44, 88, 110]
    assert all(part.kernel_size == (1, 1) for part in parts)
    assert network(torch.rand(2, 3, 64, 96)).mean.shape == (2, 176, 16, 24)


def test_the_target_is_what_the_backbone_makes():
    """Features of all three layers at the finest size, known ones as they are."""
    network = FeatureAutoencoder((32, 32, 1))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    fine, middle, coarse = network.backbone.maps(images)
    target = network.target(images)
    assert torch.equal(target[:, :24], fine)
    wanted = nn.functional.interpolate(coarse, (8, 8), mode="bilinear")
    torch.testing.assert_close(target[:, 24 + middle.shape[1] :], wanted)
    assert network.target(images, kept=target) is target


def test_the_loss_is_the_mean_squared_error():
    """Over channels, positions and batch, as a loop computes it."""
    network = FeatureAutoencoder((32, 32, 1))
    target, made = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    wanted = sum(
        (a - b) ** 2
        for a, b in zip(target.flatten().tolist(), made.flatten().tolist(), strict=True)
    )
    (loss,) = network.losses(target, type("Made", (), {"mean": made})).values()
    assert float(loss) == pytest.approx(wanted / target.numel(), rel=1e-5)


def test_it_learns_features_of_good_pictures():
    """After some epochs the loss has fallen, and pictures of another kind score higher."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(40, 200, (32, 32))
    good = (pattern + rng.integers(0, 20, (24, 32, 32))).astype(np.uint8)
    detector = ReconstructionDetector("feature-ae", epochs=6, device="cpu").fit(good)
    losses = [record.validation["reconstruction"] for record in detector.history_.records]
    assert losses[-1] < 0.9 * losses[0]
    other = rng.integers(0, 255, (4, 32, 32)).astype(np.uint8)
    assert detector.anomaly_score(other).min() > detector.anomaly_score(good).max()


@pytest.mark.parametrize(
    ("bottleneck", "message"),
    [
        (0, "bottleneck is 0; give a whole number of at least 1"),
        (177, "bottleneck=177: .*176 chan"),
    ],
)
def test_a_bottleneck_out_of_range_is_refused(bottleneck, message):
    """The message says how many channels there are at the most, and at the least."""
    with pytest.raises(InputError, match=message):
        FeatureAutoencoder((32, 32, 1), bottleneck=bottleneck)
