"""The module that is exported: what it gives is what the detector gives, before any exporter has seen it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_anomaly import Reconstruction, ReconstructionDetector
from recon_anomaly.errors import InputError
from recon_anomaly.images import PixelRange
from recon_anomaly.scoringgraph import ScoringGraph

BYTES = PixelRange(0.0, 255.0, "uint8")


def fitted(pictures, model="cae", scorer="mse", **params):
    detector = ReconstructionDetector(
        model, scorer=scorer, epochs=1, random_state=0, device="cpu", **params
    )
    return detector.fit(pictures)


def graph_of(detector, pixel_range=BYTES):
    return ScoringGraph(
        detector.network_, detector.scorer_, detector.noise_, pixel_range, -detector.offset_
    )


@pytest.mark.parametrize(
    ("model", "scorer"),
    [
        ("cvae", "reconstruction-probability"),
        ("cvae", "elbo"),
        ("nearest", "mse"),
        ("brightness", "max1p"),
        ("pca", "fused"),
        ("cae", "standardised"),
        ("mean", "gradient"),
    ],
)
def test_the_module_gives_what_the_detector_gives(good, bad, model, scorer):
    """Scores, maps and decisions of bytes, and of pictures whose sides are no multiple of the stride."""
    detector = fitted(good[:, 1:14, :15], model, scorer)
    pictures = np.concatenate([good[:6], bad])[:, 1:14, :15]
    with torch.no_grad():
        score, maps, anomalous = graph_of(detector)(torch.from_numpy(pictures))
    wanted = detector.anomaly_score(pictures)
    assert (score.dtype, maps.dtype, anomalous.dtype) == (
        torch.float32,
        torch.float32,
        torch.bool,
    )
    np.testing.assert_allclose(score, wanted, rtol=1e-5, atol=1e-5 * wanted.std())
    maps_wanted = detector.anomaly_map(pictures)
    np.testing.assert_allclose(maps, maps_wanted, rtol=1e-4, atol=1e-5 * maps_wanted.max())
    assert np.array_equal(anomalous.numpy(), detector.predict(pictures) == -1)


def test_the_nearest_picture_is_found_by_products_too(good):
    """What stands for the exact distances takes the same pictures, those of the training set themselves included."""
    network = fitted(np.concatenate([good, good[:5]]), "nearest").network_
    images = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images = torch.cat([images, network.pictures[: int(network.count)]])
    with torch.no_grad():
        assert torch.equal(network.exported()(images).mean, network(images).mean)
        assert torch.equal(network.exported().target(images), network.target(images))


def test_the_detector_is_left_as_it_is(good):
    """The graph has copies: what becomes of it changes no score of the detector."""
    detector = fitted(good, "cae", "standardised")
    before = detector.anomaly_score(good[:4])
    graph = graph_of(detector)
    with torch.no_grad():
        for part in graph.network.parameters():
            part.fill_(0)
        graph.scorer.mean.fill_(7)
    assert np.array_equal(detector.anomaly_score(good[:4]), before)


def test_a_score_that_is_no_number_is_anomalous():
    """NaN is above no threshold and below none; a picture that cannot be judged is not called good."""

    class Broken(torch.nn.Module):
        def forward(self, images):
            return Reconstruction(images / images)

    graph = ScoringGraph(Broken(), lambda target, made: made.mean[:, 0], None, BYTES, 1.5)
    pixels = torch.tensor([0, 9], dtype=torch.uint8).reshape(2, 1, 1, 1)
    score, _, anomalous = graph(pixels)
    assert score[0].isnan()
    assert anomalous.tolist() == [True, False]


def test_the_decision_is_that_of_float64():
    """A score just above the threshold is anomalous, although both are the same number in float32."""

    class Still(torch.nn.Module):
        def forward(self, images):
            return Reconstruction(images)

    class Given:
        def __call__(self, target, made):
            return made.mean[:, 0]

        def reduce(self, maps):
            return 1 + 1e-12 * maps.double().flatten(1).sum(1)

    pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    score, _, anomalous = ScoringGraph(Still(), Given(), None, BYTES, 1.0)(pixels)
    assert score[0] == score[1]
    assert anomalous.tolist() == [False, True]


def test_a_part_may_say_that_it_cannot_be_exported():
    """What its method `exported` raises is what the caller reads."""

    class Refusing(torch.nn.Module):
        def exported(self):
            raise InputError("its weights belong to somebody else")

    with pytest.raises(InputError, match="belong to somebody else"):
        ScoringGraph(Refusing(), lambda target, made: made.mean[:, 0], None, BYTES, 0.0)
