import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from recon_anomaly import scoring
from recon_anomaly.batches import Batch
from recon_anomaly.errors import InputError
from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.protocols import MapAndTerms, Reconstruction
from recon_anomaly.registry import build, load, offers
from recon_anomaly.scorers.max1p import MaximumPixel
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scorers.reconstruction_probability import ReconstructionProbability
from recon_anomaly.scoring import (
    anomaly_maps,
    exact,
    fit_scorer,
    frozen_of,
    make_noise,
    maps_and_terms,
    reconstruct,
    reduce_map,
    rehearse,
    reusing,
    score_all,
    score_batches,
    scored_pairs,
    target_of,
)

CPU = torch.device("cpu")
MODELS = ("brightness", "cae", "cvae", "mean", "nearest", "pca", "tcae", "tcvae")
COLOURS = {"tcae": 3, "tcvae": 3}  # a pretrained backbone takes gray or colours
SCORERS = ("max1p", "mse", "reconstruction-probability")
cudnn = torch.backends.cudnn


def random_images(count, height=9, width=11, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=generator)


class Doubling(nn.Module):
    """Reconstructs a picture as its double, with a variance, and remembers what it was given."""

    stride = 4

    def forward(self, images):
        self.given = images
        return Reconstruction(2 * images, log_variance=images)


class Features(nn.Module):
    """Reconstructs the means of blocks of 4 x 4 as zero."""

    stride = 4

    def target(self, images):
        return F.avg_pool2d(images, 4)

    def forward(self, images):
        return Reconstruction(torch.zeros_like(self.target(images)))


def fitted(model, shape=(9, 11, 2)):
    """Return a built-in network of random weights, or fitted on 12 pictures."""
    torch.manual_seed(0)
    network = load("model", model)(shape)
    if hasattr(network, "fit_batches"):
        with torch.no_grad():
            network.fit_batches([random_images(12, *shape)])
    return network.eval()


# Reconstructions ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 3))
def test_pictures_are_padded_for_the_network_and_cropped_back(height, width, channels):
    """The network gets edge-padded multiples of its stride, and all that it returns is cropped."""
    images, network = random_images(2, height, width, channels), Doubling()
    found = reconstruct(network, images)
    missing = [(0, -side % 4) for side in (height, width)]
    wanted = np.pad(images.numpy(), [(0, 0), (0, 0), *missing], mode="edge")
    np.testing.assert_array_equal(network.given, wanted)
    assert torch.equal(found.mean, 2 * images)
    assert torch.equal(found.log_variance, images)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (13, 9, 3), (16, 16, 1)])
@pytest.mark.parametrize("model", [CAENetwork, CVAENetwork])
def test_any_height_and_width_is_reconstructed(model, shape):
    """Odd sizes and single pixels come back in their own size."""
    network = model(shape).eval()
    images = random_images(3, *shape)
    assert reconstruct(network, images).mean.shape == images.shape


def test_a_network_without_a_stride_gets_the_pictures_themselves():
    """No stride means a stride of 1: nothing is padded."""
    network = Doubling()
    network.stride = 1
    images = random_images(2)
    reconstruct(network, images)
    assert network.given is images


def test_the_target_is_the_pictures_or_what_the_network_says():
    """Without target() the pictures themselves are reconstructed, else what it makes of padded ones."""
    images = random_images(2, 6, 6)
    assert target_of(Doubling(), images) is images
    padded = F.pad(images, (0, 2, 0, 2), mode="replicate")
    assert torch.equal(target_of(Features(), images), F.avg_pool2d(padded, 4))
    assert reconstruct(Features(), images).mean.shape == (2, 2, 2, 2)


class Keeping(Features):
    """Reconstructs the means of blocks of 4 x 4 as their double, and remembers what it was handed."""

    def __init__(self):
        super().__init__()
        self.handed = []

    def frozen(self, images):
        return F.avg_pool2d(images, 4)

    def target(self, images, kept=None):
        self.handed.append(kept)
        return self.frozen(images) if kept is None else kept

    def forward(self, images, kept=None):
        self.handed.append(kept)
        return Reconstruction(2 * (self.frozen(images) if kept is None else kept))


def test_the_frozen_part_sees_padded_pictures():
    """What is kept belongs to pictures of a multiple of the stride, as the network gets them."""
    images = random_images(2, 6, 6)
    padded = F.pad(images, (0, 2, 0, 2), mode="replicate")
    assert torch.equal(frozen_of(Keeping(), images), F.avg_pool2d(padded, 4))


def test_what_is_kept_reaches_target_and_network():
    """Both are handed the features as they are; where none are known, they are computed once for both."""
    images, network = random_images(2, 6, 6), Keeping()
    kept = frozen_of(network, images)
    assert target_of(network, images, kept) is kept
    assert torch.equal(reconstruct(network, images, kept).mean, 2 * kept)
    ((target, made),) = scored_pairs(network, images, None, kept)
    assert target is kept
    assert torch.equal(made.mean, 2 * kept)
    assert all(handed is kept for handed in network.handed)
    network.handed.clear()
    list(scored_pairs(network, images, None))
    first, second = network.handed
    assert first is second
    assert torch.equal(first, kept)


def test_maps_and_scores_are_the_same_with_what_is_kept():
    """Batches that bring their features are scored, and fitted on, as pictures alone are."""
    images, network, seen = random_images(4, 6, 6), Keeping(), []
    batch = Batch(images, images, frozen_of(network, images))
    wanted = anomaly_maps(network, mean_squared_error, images)
    assert torch.equal(anomaly_maps(network, mean_squared_error, images, kept=batch.kept), wanted)
    network.handed.clear()
    ((scores, maps),) = score_batches(network, mean_squared_error, [batch], None)
    assert np.array_equal(maps, wanted.numpy())
    assert np.allclose(scores, wanted.double().mean((1, 2)))
    scorer = MaximumPixel()
    scorer.fit = lambda pairs: seen.extend(pairs)
    fit_scorer(scorer, network, lambda: [batch], None)
    assert len(seen) == 1
    assert len(network.handed) == 4
    assert all(handed is batch.kept for handed in network.handed)


# Draws -------------------------------------------------------------------------------------------


@pytest.fixture
def cvae():
    torch.manual_seed(0)
    return CVAENetwork((9, 11, 2), kernels=(3, 4), latent_size=3).eval()


def test_a_pair_for_each_draw(cvae):
    """Each row of noise gives one pair, of the pictures and a reconstruction in their size."""
    images, noise = random_images(2), torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    pairs = list(scored_pairs(cvae, images, noise))
    padded = F.pad(images, (0, 1, 0, 3), mode="replicate")
    for (target, found), row in zip(pairs, noise, strict=True):
        assert torch.equal(target, images)
        mean, log_variance = cvae.encode(padded)
        wanted = cvae.decode(mean + (0.5 * log_variance).exp() * row)[..., :9, :11]
        torch.testing.assert_close(found.mean, wanted)


def test_without_noise_there_is_one_pair(cvae):
    """No noise means the one deterministic reconstruction."""
    images = random_images(2)
    ((target, found),) = scored_pairs(cvae, images, None)
    assert target is images
    assert torch.equal(found.mean, reconstruct(cvae, images).mean)


@pytest.mark.parametrize("scorer", [mean_squared_error, MaximumPixel()])
def test_the_map_is_the_mean_of_the_draws_maps(cvae, scorer):
    """Maps of draws are averaged: not reconstructions, and not scores."""
    images, noise = random_images(2), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    each = [scorer(images, found) for _, found in scored_pairs(cvae, images, noise)]
    found = anomaly_maps(cvae, scorer, images, noise)
    torch.testing.assert_close(found, torch.stack(each).double().mean(0).float())
    average = torch.stack([made.mean for _, made in scored_pairs(cvae, images, noise)]).mean(0)
    assert not torch.allclose(found, scorer(images, Reconstruction(average)))


def test_noise_is_decided_by_the_seed_alone(cvae):
    """The same seed gives the same rows, another one others, and torch's own generator is left."""
    scorer = ReconstructionProbability(draws=4000)
    state = torch.get_rng_state()
    noise = make_noise(cvae, scorer, 7, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert noise.shape == (4000, 3)
    assert torch.equal(noise, make_noise(cvae, scorer, 7, CPU))
    assert not torch.equal(noise, make_noise(cvae, scorer, 8, CPU))
    # Standard normal, within 5 standard errors.
    assert noise.mean(0).abs().max() < 5 / 4000**0.5
    assert (noise.square().mean(0) - 1).abs().max() < 5 * (2 / 4000) ** 0.5


def test_no_noise_where_it_is_not_asked_for_or_cannot_be_used(cvae):
    """A scorer without draws, or a network that cannot draw, gets none."""
    assert make_noise(cvae, mean_squared_error, 7, CPU) is None
    assert make_noise(fitted("cae"), ReconstructionProbability(), 7, CPU) is None


# Maps --------------------------------------------------------------------------------------------


def test_a_map_of_features_is_brought_to_the_size_of_the_pictures():
    """Blocks of 4 pixels, two in a row of 6 padded to 8, are spread bilinearly and cropped to 6."""
    images = torch.zeros(1, 1, 6, 6)
    images[..., 4:] = 1.0
    # Column i lies at (i + 1/2) / 4 - 1/2 between the two blocks, and the outer ones are their own.
    wanted = np.array([0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8])
    found = anomaly_maps(Features(), mean_squared_error, images)
    np.testing.assert_allclose(found[0], np.tile(wanted, (6, 1)), atol=1e-6)


class Summing:
    """Maps the squared error, and adds it up."""

    reduction = "sum"

    def __call__(self, target, made):
        return (target - made.mean).square().sum(1)


def test_a_sum_counts_what_was_reconstructed_and_not_the_pixels_it_is_spread_over():
    """Four blocks with errors 0 and 1 sum to 2, at the size of the features as at that of the picture."""
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 1.0
    network, scorer = Features(), Summing()
    target, made = target_of(network, images), reconstruct(network, images)
    assert scorer(target, made).sum() == 2
    maps = anomaly_maps(network, scorer, images)
    # Sixteen pixels stand for a block, and bilinear interpolation keeps the mean.
    np.testing.assert_allclose(maps[0, 0], np.array([0, 0, 1, 3, 5, 7, 8, 8]) / 8 / 16, atol=1e-7)
    np.testing.assert_allclose(reduce_map(scorer, maps), 2.0, rtol=1e-6)


def test_what_is_cropped_leaves_the_sum():
    """Of a picture of 6 columns the block beyond the fourth counts with what the picture has of it."""
    images = torch.zeros(1, 1, 8, 6)
    images[..., 4:] = 1.0
    scores = reduce_map(Summing(), anomaly_maps(Features(), Summing(), images))
    np.testing.assert_allclose(scores, 8 * (1 + 3 + 5 + 7) / 8 / 16, rtol=1e-6)


def test_other_reductions_take_the_map_as_it_is_spread():
    """A mean and a maximum are of the same unit at any size."""
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 1.0
    scorer = Summing()
    for reduction, wanted in {"mean": 0.5, "max": 1.0}.items():
        scorer.reduction = reduction
        scores = reduce_map(scorer, anomaly_maps(Features(), scorer, images))
        np.testing.assert_allclose(scores, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "scorer",
    [
        lambda target, made: (target - made.mean).abs(),
        lambda target, made: (target - made.mean).abs().mean((1, 2, 3)),
        lambda target, made: (target - made.mean).abs().mean(1)[:1],
        lambda target, made: (target - made.mean).abs().mean(1)[:, 1:],
    ],
)
def test_a_map_of_another_shape_is_refused(scorer):
    """The error says which shape was got and which pictures it is for."""
    with pytest.raises(
        InputError, match=r"map of shape .* \(2, 2, 9, 11\); it must be \(n, h, w\)"
    ):
        anomaly_maps(Doubling(), scorer, random_images(2))


@pytest.mark.parametrize(
    ("reduction", "wanted"), [("max", 3.0), ("mean", 0.5), ("sum", 3.0), (None, 0.5)]
)
def test_reductions_by_name(reduction, wanted):
    """The score is the maximum, the mean or the sum of a map, the mean if none is named."""

    def scorer(target, reconstruction):
        raise NotImplementedError

    if reduction is not None:
        scorer.reduction = reduction
    maps = torch.tensor([[[0.0, 0.0, 3.0], [1.0, -1.0, 0.0]], [[1.0] * 3] * 2])
    found = reduce_map(scorer, maps)
    assert found.dtype == torch.float64
    assert found[0] == wanted


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_are_in_float64(reduction):
    """Two to the 24th and ones, which float32 could not add up, are reduced exactly."""
    scorer = MaximumPixel()
    scorer.reduction = reduction
    maps = torch.tensor([[[2.0**24, 1.0], [1.0, 1.0]]])
    exact_sum = 2**24 + 3
    assert reduce_map(scorer, maps).item() == (exact_sum if reduction == "sum" else exact_sum / 4)


def test_an_unknown_reduction_is_refused():
    """The error lists the known ones."""
    scorer = MaximumPixel()
    scorer.reduction = "median"
    with pytest.raises(InputError, match="'median' is unknown; it may be: max, mean, sum"):
        reduce_map(scorer, torch.zeros(1, 2, 2))


# Whole batches -----------------------------------------------------------------------------------

REDUCTIONS = {
    "max1p": np.max,
    "mse": np.mean,
    "reconstruction-probability": np.sum,
}


def scores_and_maps(network, scorer, noise, batches):
    found = score_batches(network, scorer, batches, noise)
    scores, maps = zip(*found, strict=True)
    return np.concatenate(scores), np.concatenate(maps)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("model", MODELS)
def test_the_laws_of_scores(model, name):
    """Scores reduce the maps returned; repeated they are equal, in other batches within 1e-6."""
    channels = COLOURS.get(model, 2)
    network, (scorer, _) = fitted(model, (9, 11, channels)), build("scorer", name)
    noise = make_noise(network, scorer, 0, CPU)
    fit_scorer(scorer, network, lambda: [random_images(6, channels=channels, seed=1)], noise)
    images = random_images(8, channels=channels, seed=2)

    scores, maps = scores_and_maps(network, scorer, noise, images.split(8))
    assert scores.dtype == np.float64
    assert maps.dtype == np.float32
    assert maps.shape == (8, 9, 11)
    wanted = REDUCTIONS[name](maps.astype(np.float64), axis=(1, 2))
    np.testing.assert_allclose(scores, wanted, rtol=1e-13)

    again = scores_and_maps(network, scorer, noise, images.split(8))
    np.testing.assert_array_equal(again[0], scores)
    np.testing.assert_array_equal(again[1], maps)

    for batches in (images.split(1), images.split(3)):
        np.testing.assert_allclose(
            scores_and_maps(network, scorer, noise, batches)[0], scores, rtol=1e-6
        )
    backwards, _ = scores_and_maps(network, scorer, noise, images.flip(0).split(5))
    np.testing.assert_allclose(backwards[::-1], scores, rtol=1e-6)


@pytest.mark.parametrize("name", SCORERS)
def test_scores_alone_are_those_beside_the_maps(name):
    """Bit for bit, with repeated pictures left out, and also where maps are averaged over draws."""
    network, (scorer, _) = fitted("cvae"), build("scorer", name)
    noise = make_noise(network, scorer, 0, CPU)
    images = random_images(7)
    fit_scorer(scorer, network, lambda: [images], noise)
    last = Batch(images[3:], images[3:], repeated=1)
    wanted, _ = scores_and_maps(network, scorer, noise, [images[:4], last])
    found = score_all(network, scorer, [images[:4], last], noise)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, wanted)
    assert len(found) == 7


def test_from_the_second_batch_on_freed_memory_is_kept(monkeypatch):
    """Until the last one is done or whoever iterates leaves; one batch alone changes nothing."""
    inside = []

    @contextmanager
    def kept():
        inside.append(True)
        try:
            yield
        finally:
            inside.pop()

    monkeypatch.setattr(scoring, "large_blocks_kept", kept)
    assert [(item, len(inside)) for item in reusing("abc")] == [("a", 0), ("b", 1), ("c", 1)]
    assert not inside
    left = reusing("abc")
    next(left), next(left)
    left.close()
    assert not inside


NEEDED = {"elbo": "cvae", "latent-distance": "ganomaly"}
BUILT_IN = [offer.name for offer in offers("scorer") if offer.plugin == "builtin"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_scorer_keeps_the_laws(name):
    """Each one's score is its reduction plus its terms, bit for bit again, and the same in other batches."""
    channels = 1
    network = fitted(NEEDED.get(name, "cae"), (12, 14, channels))
    scorer, _ = build("scorer", name)
    noise = make_noise(network, scorer, 0, CPU)
    fit_scorer(scorer, network, lambda: [random_images(6, 12, 14, channels, seed=1)], noise)
    images = random_images(7, 12, 14, channels, seed=2)
    with exact():
        maps, terms = maps_and_terms(network, scorer, images, noise)
        wanted = reduce_map(scorer, maps, terms)
    scores, found = scores_and_maps(network, scorer, noise, [images])
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(found, maps)
    last = Batch(images[3:], images[3:], repeated=1)
    repeated = score_all(network, scorer, [images[:4], last], noise)
    alone = score_all(network, scorer, images.split(1), noise)
    assert len(np.unique(scores)) == 7
    # Nats are sums of both signs over 168 pixels.
    close = {"rtol": 1e-5, "atol": 1e-4 if getattr(scorer, "draws", 0) else 1e-7}
    np.testing.assert_allclose(repeated, scores, **close)
    np.testing.assert_allclose(alone, scores, **close)


class Adding:
    """Draws, and gives the mean of each drawn picture as its term."""

    draws = 3
    reduction = "sum"

    def __call__(self, target, made):
        return MapAndTerms((target - made.mean).square().mean(1), made.mean.mean((1, 2, 3)))


def test_terms_are_averaged_over_draws_and_added(cvae):
    """The score is the sum of the map plus the mean of the draws' terms, repeated pictures left out."""
    images, scorer = random_images(4), Adding()
    noise = make_noise(cvae, scorer, 0, CPU)
    with torch.no_grad():
        drawn = [made.mean.double() for _, made in scored_pairs(cvae, images, noise)]
    maps = torch.stack([(images - one).square().mean(1) for one in drawn]).mean(0)
    wanted = maps.sum((1, 2)) + torch.stack([one.mean((1, 2, 3)) for one in drawn]).mean(0)
    batches = [images[:2], Batch(images[1:], images[1:], repeated=1)]
    scores, found = scores_and_maps(cvae, scorer, noise, batches)
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)
    np.testing.assert_allclose(found, maps, rtol=1e-5)
    np.testing.assert_array_equal(score_all(cvae, scorer, batches, noise), scores)


def test_terms_of_another_shape_are_refused():
    """The error says which shape was got and for how many pictures."""

    def scorer(target, made):
        return MapAndTerms((target - made.mean).mean(1), torch.zeros(2, 1))

    with pytest.raises(InputError, match=r"terms of shape \(2, 1\) for 2 images; .*\(n,\)"):
        maps_and_terms(Doubling(), scorer, random_images(2))


def test_a_reduction_of_its_own_makes_the_score():
    """A scorer with reduce is reduced by it: of the map at the size of the pictures, not of the features."""
    scorer = MaximumPixel()
    seen = []
    scorer.reduce = lambda maps: seen.append(maps) or maps.double().cpu().flatten(1).amin(1)
    ((scores, maps),) = score_batches(Features(), scorer, [random_images(3)], None)
    assert seen[0].shape == (3, 9, 11)
    np.testing.assert_array_equal(scores, maps.astype(np.float64).min((1, 2)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_score_is_that_of_the_map_returned(dtype):
    """A scorer that computes in another type still has its score from the float32 map it returns."""

    def scorer(target, reconstruction):
        return (target - reconstruction.mean).to(dtype).square().mean(1)

    ((scores, maps),) = score_batches(Doubling(), scorer, [random_images(4)], None)
    np.testing.assert_allclose(scores, maps.astype(np.float64).mean((1, 2)), rtol=1e-13)
    with exact():
        assert anomaly_maps(Doubling(), scorer, random_images(4)).dtype == torch.float32


def test_whoever_iterates_keeps_gradients():
    """Between two batches the caller is not inside inference mode, nor is what makes the batches."""

    def batches():
        for images in random_images(4).split(2):
            assert not torch.is_inference_mode_enabled()
            yield images

    for _ in score_batches(Doubling(), mean_squared_error, batches(), None):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


class Recording:
    """Keeps what it is fitted on."""

    draws = 3

    def fit(self, pairs):
        self.pairs = list(pairs)


def test_a_scorer_is_fitted_on_all_pairs(cvae):
    """Each batch comes once for each draw, without gradients."""
    scorer, batches = Recording(), random_images(5).split(3)
    fit_scorer(scorer, cvae, lambda: batches, make_noise(cvae, scorer, 0, CPU))
    assert [len(target) for target, _ in scorer.pairs] == [3, 3, 3, 2, 2, 2]
    assert torch.equal(scorer.pairs[3][0], batches[1])
    assert not any(made.mean.requires_grad for _, made in scorer.pairs)
    fit_scorer(mean_squared_error, cvae, lambda: batches, None)  # nothing to fit, and no error


# Exactness ---------------------------------------------------------------------------------------


FLAGS = ("enabled", "benchmark", "deterministic", "allow_tf32")


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("on_cuda", [False, True])
def test_exact_leaves_torch_as_it_was(monkeypatch, flag, value, fails, on_cuda):
    """Flags and gradient mode come back after the block, also where it raised."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_cuda)
    monkeypatch.setattr(cudnn, flag, value)
    before = {name: getattr(cudnn, name) for name in FLAGS}
    try:
        with exact():
            assert torch.is_inference_mode_enabled()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert {name: getattr(cudnn, name) for name in FLAGS} == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("flag", ["benchmark", "allow_tf32"])
def test_convolutions_on_cuda_are_exact_and_repeatable(monkeypatch, flag):
    """Where CUDA is in use, cuDNN computes in float32 and always by the same algorithm."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(cudnn, flag, True)
    with exact():
        precisions = [cudnn.conv.fp32_precision] if hasattr(cudnn, "conv") else []
        assert "tf32" not in precisions
        assert precisions or not cudnn.allow_tf32
        assert cudnn.enabled
        assert cudnn.deterministic
        assert not cudnn.benchmark


def _multiplies_exactly():
    if hasattr(torch.backends.mkldnn, "matmul"):
        return torch.backends.mkldnn.matmul.fp32_precision == "ieee"
    return torch.get_float32_matmul_precision() == "highest"


def test_the_last_thread_restores_what_makes_scoring_exact(matmul_precision):
    """A thread that leaves does not take exactness from one that still computes; after both, all is as before."""
    matmul_precision("medium")
    inside, left = threading.Event(), threading.Event()
    found = []

    def stay():
        with exact():
            inside.set()
            left.wait(30)
            found.append(_multiplies_exactly())

    with exact():
        thread = threading.Thread(target=stay)
        thread.start()
        assert inside.wait(30)
    left.set()
    thread.join()
    assert found == [True]
    assert torch.get_float32_matmul_precision() == "medium"


def test_exact_keeps_gradients_off_where_they_were():
    """Inside torch.no_grad the block ends with gradients still off."""
    with torch.no_grad():
        with exact():
            pass
        assert not torch.is_grad_enabled()


def test_scoring_takes_no_part_in_autocast():
    """A caller inside torch.autocast gets the very scores that it gets outside."""
    network, images = fitted("cae"), random_images(4)
    wanted = scores_and_maps(network, mean_squared_error, None, [images])
    with torch.autocast("cpu", torch.bfloat16):
        found = scores_and_maps(network, mean_squared_error, None, [images])
        assert torch.is_autocast_enabled("cpu")
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.fixture
def matmul_precision():
    """Set the precision of matrix products, and set it back after the test."""
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("model", ["cae", "cvae", "pca"])
def test_scoring_multiplies_matrices_in_float32(matmul_precision, model, precision):
    """A caller that allows TF32 or bfloat16 gets the same scores, and keeps its setting."""
    network, images = fitted(model), random_images(4)
    wanted = scores_and_maps(network, mean_squared_error, None, [images])
    matmul_precision(precision)
    with exact():
        if hasattr(cudnn, "conv"):
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        else:
            assert torch.get_float32_matmul_precision() == "highest"
    found = scores_and_maps(network, mean_squared_error, None, [images])
    assert torch.get_float32_matmul_precision() == precision
    np.testing.assert_array_equal(found[0], wanted[0])


@pytest.mark.skipif(not hasattr(cudnn, "conv"), reason="this torch has only the older TF32 flags")
@pytest.mark.parametrize("on_cuda", [False, True])
@pytest.mark.parametrize(
    "part", [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul], ids=["conv", "rnn", "matmul"]
)
def test_scoring_works_beside_the_newer_flags(monkeypatch, part, on_cuda):
    """A caller that sets precisions by torch 2.9's flags, one by one, can score and keeps them."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_cuda)
    before = part.fp32_precision
    wanted = "tf32" if before == "ieee" else "ieee"
    part.fp32_precision = wanted
    try:
        with exact():
            pass
        after = part.fp32_precision
    finally:
        part.fp32_precision = before
    assert after == wanted


# The rehearsal -------------------------------------------------------------------------------------


class Broken(Doubling):
    """Breaks the contract in a way that is chosen."""

    def __init__(self, made=None, terms=None):
        super().__init__()
        self.made, self.terms = made, terms

    def forward(self, images):
        return super().forward(images) if self.made is None else self.made

    def losses(self, target, reconstruction):
        return self.terms


class Unreduced(MaximumPixel):
    """Reduces in the type of the maps."""

    def reduce(self, maps):
        return maps.mean((1, 2))


@pytest.mark.parametrize(
    ("network", "scorer", "message"),
    [
        (Broken(made=torch.zeros(1)), mean_squared_error, "returned a Tensor; a recon_anomaly.Rec"),
        (Broken(terms=torch.zeros(())), mean_squared_error, "losses gave tensor.*named terms"),
        (Broken(terms={}), mean_squared_error, "named terms"),
        (Broken(terms={"a": torch.zeros(2)}), mean_squared_error, "'a' is tensor.*scalar tensor"),
        (Broken(terms={"a": torch.zeros(())}), lambda t, r: np.zeros(3), "gave a ndarray"),
        (Broken(terms={"a": torch.zeros(())}), lambda t, r: t, "must be .n, h, w."),
        (
            Broken(terms={"a": torch.zeros(())}),
            lambda t, r: (t[:, 0], t),
            "gave a tuple.*MapAndTerms",
        ),
        (
            Broken(terms={"a": torch.zeros(())}),
            Unreduced(),
            "reduce gave torch.float32.*in float64",
        ),
    ],
)
def test_a_broken_part_is_named_before_training(network, scorer, message):
    """A rehearsal with one picture says what network or scorer did wrong."""
    with pytest.raises(InputError, match=message):
        rehearse(network, scorer, random_images(1, 8, 8, 1), None)


def test_a_rehearsal_leaves_the_scorer_and_the_generators_alone(cvae):
    """What a scorer learns in a rehearsal is not kept, and no random number is used up."""
    scorer, before = ReconstructionProbability(draws=2), torch.get_rng_state()
    noise = make_noise(cvae, scorer, 0, CPU)
    rehearse(cvae, scorer, random_images(2), noise)
    assert scorer.state_dict() == {}
    assert torch.equal(torch.get_rng_state(), before)


def test_a_score_that_is_not_a_number_is_an_error():
    """A NaN is never taken for a good picture."""

    def broken(target, reconstruction):
        return (target - reconstruction.mean).sum(1) * float("nan")

    with pytest.raises(InputError, match="NaN or infinite"):
        list(score_batches(Doubling(), broken, [random_images(2)], None))
