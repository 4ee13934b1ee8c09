"""Every kind of X: arrays, rows, files, folders; what is refused, and how the message says so."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse

from recon_anomaly import (
    CAE,
    CVAE,
    InputError,
    PictureError,
    PictureWarning,
    ReconstructionDetector,
)
from recon_anomaly.images import as_pictures, measure_range, range_for
from recon_anomaly.inputs import check_budget, read_anomalous, read_input, split_validation
from recon_anomaly.store import from_array


def mean(**params):
    """The cheapest detector: one that learns the mean picture."""
    return ReconstructionDetector("mean", **params)


def write(folder, pictures, ending=".png"):
    """Write pictures to a folder and return their paths, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}{ending}" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(path)
    return paths


# Arrays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (8, 8, 1), (16, 16, 3), (13, 9, 3), (9, 30, 4), (7, 5, 2)]
)
@pytest.mark.parametrize("estimator", [CAE, CVAE])
def test_pictures_of_any_size_and_channels(estimator, shape):
    """Heights and widths need not be divisible by anything, and any number of channels works."""
    X = np.random.default_rng(0).integers(0, 255, (7, *shape), dtype=np.uint8)
    detector = estimator(epochs=1).fit(X)
    assert detector.image_shape_ == shape
    assert detector.n_features_in_ == np.prod(shape)
    assert np.isfinite(detector.score_samples(X)).all()
    assert detector.anomaly_map(X).shape == (7, *shape[:2])
    assert detector.reconstruct(X).shape == (7, *shape)


def test_pictures_without_a_channel_axis_are_gray(good):
    """(n, h, w) means one channel, at fit and at scoring."""
    three, four = mean().fit(good[..., 0]), mean().fit(good)
    assert three.image_shape_ == (16, 16, 1)
    assert np.array_equal(three.score_samples(good), four.score_samples(good[..., 0]))


@pytest.mark.parametrize(
    ("dtype", "scale", "low", "high"),
    [
        (np.uint8, 1, 0, 255),
        (np.uint16, 257, 0, 65535),
        (np.float32, 1 / 255, 0, 1),
        (np.float64, 1 / 255, 0, 1),
        (np.float16, 1 / 255, 0, 1),
    ],
)
def test_every_unit_of_pixels_is_brought_to_zero_and_one(dtype, scale, low, high, good, bad):
    """uint8 ÷ 255, uint16 ÷ 65535 and floats in [0, 1] give the same scores of the same pictures."""
    reference = mean().fit(good)
    detector = mean().fit((good * float(scale)).astype(dtype))
    assert detector.pixel_range_[:2] == (low, high)
    found = detector.anomaly_score((bad * float(scale)).astype(dtype))
    tolerance = 2e-3 if dtype is np.float16 else 1e-5
    assert found == pytest.approx(reference.anomaly_score(bad), rel=tolerance)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.int16])
def test_values_outside_zero_and_one_are_scaled_by_the_training_pictures(dtype, good, bad):
    """The training set's minimum becomes 0, its maximum 1, and what is scored is not clamped."""
    X = good.astype(dtype) - 50
    detector = mean().fit(X)
    low, high = float(X.min()), float(X.max())
    assert detector.pixel_range_[:2] == (low, high)
    darker = X[:3] - 1000
    wanted = ((X[:3].astype(float) - detector.reconstruct(X[:3])) / (high - low)) ** 2
    assert detector.anomaly_score(X[:3]) == pytest.approx(wanted.mean((1, 2, 3)), rel=1e-4)
    assert detector.anomaly_score(darker).min() > (900 / (high - low)) ** 2


def test_the_other_byte_order_means_the_same(good):
    """uint16 pictures from a big-endian file are uint16 pictures."""
    X = good.astype(np.uint16) * 257
    swapped = mean().fit(X.astype(">u2"))
    assert swapped.pixel_range_ == mean().fit(X).pixel_range_
    assert np.array_equal(swapped.score_samples(X.astype(">u2")), mean().fit(X).score_samples(X))


def test_constant_pictures_are_no_division_by_zero():
    """Floats that are all alike, outside [0, 1], still give finite scores."""
    X = np.full((5, 4, 4), 7.0)
    assert mean().fit(X).anomaly_score(X) == pytest.approx(0)


def test_pictures_are_left_as_they_are(good):
    """Neither fit nor scoring writes to X, also where X is float32 and needs no conversion."""
    X = good.astype(np.float32)
    before = X.copy()
    CAE(kernels=(2, 3), epochs=1, corruptor="gaussian").fit(X).anomaly_map(X)
    assert np.array_equal(X, before)


@pytest.mark.parametrize(
    "make",
    [
        lambda X: np.asfortranarray(X),
        lambda X: X[:, ::-1][:, ::-1],
        lambda X: torch.from_numpy(X),
        lambda X: list(X),
        lambda X: tuple(X),
        lambda X: list(X[..., 0]),
        lambda X: from_array(X),
    ],
    ids=["fortran", "strided", "torch", "list", "tuple", "list of gray", "store"],
)
def test_arrays_of_every_make_are_the_same_pictures(make, good):
    """Memory order, lists of arrays, tensors and stores give the same detector."""
    reference = mean().fit(good)
    detector = mean().fit(make(good))
    assert detector.image_shape_ == (16, 16, 1)
    assert np.array_equal(detector.score_samples(make(good)), reference.score_samples(good))


def test_a_read_only_array_is_enough(good):
    """A memory-mapped or locked array is read without a warning."""
    good.setflags(write=False)
    assert mean().fit(good).score_samples(good).shape == (40,)


def test_the_range_is_that_of_the_pictures_given():
    """A view of a float store is scaled by its own pictures, not by those that it leaves out."""
    array = np.random.default_rng(0).random((10, 4, 4, 1), dtype=np.float32) * 2
    array[9] = 1000
    view = mean().fit(from_array(array).take(range(9)))
    assert view.pixel_range_ == mean().fit(array[:9]).pixel_range_


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(6, 4, 4, 1), (6, 4, 4), (6, 16)])
def test_nan_and_infinity_are_refused(value, shape):
    """At fit and at scoring, in pictures as in rows, the message says which it was."""
    X = np.random.default_rng(0).random(shape)
    detector = mean().fit(X)
    X.flat[20] = value
    for call in (mean().fit, detector.score_samples):
        with pytest.raises(InputError, match="NaN" if np.isnan(value) else "infinity"):
            call(X)


def test_lists_of_mixed_sizes_name_the_shapes():
    """The shapes and the first picture of each are in the message."""
    X = [np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((5, 4)), np.zeros((4, 6, 3))]
    with pytest.raises(InputError) as caught:
        mean().fit(X)
    for part in ("(4, 4) (picture 0)", "(5, 4) (picture 2)", "(4, 6, 3) (picture 3)", "image_size"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 2, 2, 2, 1)),
        np.zeros(5),
        np.zeros((0, 4, 4, 1)),
        np.zeros((3, 0, 4, 1)),
        np.zeros((3, 4, 4, 0)),
        np.array(5.0),
        [],
        None,
        np.zeros((3, 4, 4), complex),
        [["a", "b"], ["c", "d"]],
    ],
    ids=repr,
)
def test_what_is_no_pictures_is_refused(X):
    """Wrong dimensions, nothing at all and what is no number are input errors."""
    with pytest.raises(InputError):
        mean().fit(X)


def test_sparse_rows_are_refused():
    """scikit-learn's own refusal comes through."""
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        mean().fit(sparse.csr_array(np.eye(4)))


@pytest.mark.parametrize(
    ("fitted", "scored"),
    [
        ((6, 5, 3), (5, 6, 3)),
        ((6, 5, 3), (6, 5, 1)),
        ((6, 5, 3), (3, 6, 5)),
        ((6, 5, 3), (30, 3)),
        ((4, 4, 1), (4, 5)),
    ],
)
def test_pictures_of_another_shape_are_refused_at_scoring(fitted, scored):
    """As many values are not enough: both shapes are in the message."""
    detector = mean().fit(np.random.default_rng(0).random((5, *fitted)))
    X = np.zeros((2, *scored))
    shape = scored if len(scored) == 3 else (*scored, 1)
    with pytest.raises(InputError) as caught:
        detector.score_samples(X)
    assert str(shape) in str(caught.value)
    assert str(fitted) in str(caught.value)


# Memory --------------------------------------------------------------------------------------------


def one_batch(good):
    """A detector whose memory budget is one batch of these pictures in float32."""
    return mean(memory_budget=16 * good[0].size * 4)


@pytest.mark.parametrize(
    "make",
    [
        lambda good: good.astype(np.float64),
        lambda good: good.astype(np.int64)[..., 0],
        lambda good: good.astype(np.float64).reshape(len(good), -1),
        lambda good: good.astype(np.float32)[:, ::-1],
        lambda good: list(good.astype(np.float32)),
    ],
    ids=["doubles", "integers", "rows", "another order", "a list"],
)
def test_copies_of_arrays_keep_to_the_memory_budget(make, good, monkeypatch):
    """What has to be copied, to another type or order, goes to a file beyond the budget, chunk by chunk."""
    monkeypatch.setattr("recon_anomaly.inputs._CHUNK_BYTES", 5000)
    X = make(good)
    store = read_input(one_batch(good), X, fitting=True)
    assert not store.in_memory
    assert read_input(mean(), X, fitting=True).in_memory
    expected = np.asarray(X, np.float32).reshape(len(good), -1)
    assert np.array_equal(store.batch(slice(None)).reshape(len(good), -1), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_that_fit_are_not_copied(dtype, good):
    """Pictures of a type that a store keeps, every second one too, stay where they are."""
    X = good.astype(dtype)
    for view in (X, X[::2], X.reshape(len(X), -1)):
        assert np.shares_memory(read_input(one_batch(good), view, fitting=True).array, X)


def test_an_array_in_a_file_stays_in_it(good, tmp_path):
    """A memory-mapped array is no copy in memory, and the store says so."""
    np.save(tmp_path / "good.npy", good)
    store = read_input(mean(), np.load(tmp_path / "good.npy", mmap_mode="r"), fitting=True)
    assert not store.in_memory
    assert np.array_equal(store.batch(slice(None)), good)


def test_what_does_not_fit_float32_is_refused_without_a_warning(good):
    """A double beyond the range of float32 becomes infinite, and that is the error."""
    X = good.astype(np.float64)
    X[3, 4, 5] = 1e300
    with pytest.raises(InputError, match="infinity"):
        read_input(mean(), X, fitting=True)


def test_a_budget_of_one_batch_is_enough():
    """The least budget holds the pixels of a batch, in their own type; none at all passes, too."""
    check_budget(4 * 8 * 6 * 3 * 2, (8, 6, 3), np.uint16, 4)
    check_budget(None, (8, 6, 3), np.uint16, 4)


def test_a_budget_below_one_batch_is_refused():
    """The error says what was given, what a batch takes, and what to change."""
    words = r"is 1151 bytes, and one batch, 4 pictures of 8x6x3 uint16, takes 1152; .*batch_size"
    with pytest.raises(InputError, match=words):
        check_budget(4 * 8 * 6 * 3 * 2 - 1, (8, 6, 3), np.uint16, 4)


@pytest.mark.parametrize("budget", [-1, 1e9, "2GB", True])
def test_a_budget_is_a_number_of_bytes(budget, good):
    """A text, a fraction or a negative number is refused, wherever it is looked at."""
    words = "memory_budget is .*; give a whole number of at least 0"
    with pytest.raises(InputError, match=words):
        check_budget(budget, (8, 6, 3), np.uint8, 1)
    with pytest.raises(InputError, match=words):
        mean(memory_budget=budget).fit(good)


# Ranges --------------------------------------------------------------------------------------------

BYTES = np.array([[0, 255]], np.uint8)
WORDS = np.array([[0, 65535]], np.uint16)
SHARES = np.array([[0.0, 0.9]], np.float32)
FLOATS = np.array([[-3.0, 5.0]], np.float32)


@pytest.mark.parametrize(
    ("fitted", "scored", "expected"),
    [
        (BYTES, BYTES, (0, 255)),
        (BYTES, WORDS, (0, 65535)),
        (BYTES, SHARES, (0, 1)),
        (WORDS, BYTES, (0, 255)),
        (WORDS, SHARES, (0, 1)),
        (SHARES, BYTES, (0, 255)),
        (SHARES, SHARES, (0, 1)),
        (SHARES, FLOATS, (0, 1)),
        (FLOATS, FLOATS, (-3, 5)),
        (FLOATS, SHARES, (-3, 5)),
        (FLOATS, FLOATS * 9, (-3, 5)),
    ],
)
def test_pictures_of_another_type_are_scaled_by_their_own(fitted, scored, expected):
    """Integers have their full scale, floats in [0, 1] stand for them, floats keep the fitted range."""
    assert range_for(scored, measure_range(fitted))[:2] == expected


@pytest.mark.parametrize("fitted", [BYTES, WORDS])
def test_floats_beyond_one_are_in_doubt_where_integers_were_fitted(fitted):
    """Nobody knows whether such floats count to 1, to 255 or to 65535."""
    with pytest.raises(InputError, match=rf"fitted on {fitted.dtype} .* float32 .* from -3 to 5"):
        range_for(FLOATS, measure_range(fitted))


@pytest.mark.parametrize("scored", [BYTES, WORDS])
def test_integers_are_in_doubt_where_other_floats_were_fitted(scored):
    """The unit of floats outside [0, 1] is not known to be that of integers."""
    with pytest.raises(InputError, match=rf"floats from -3 to 5 and got {scored.dtype}"):
        range_for(scored, measure_range(FLOATS))


def test_a_doubtful_unit_is_refused_by_the_detector(good):
    """A detector fitted on uint8 takes [0, 1] floats and refuses floats to 255."""
    detector = mean().fit(good)
    with pytest.raises(InputError, match=r"give uint8, or floats in \[0, 1\]"):
        detector.score_samples(good.astype(float))
    scores = detector.score_samples(good / 255)
    assert scores == pytest.approx(detector.score_samples(good), rel=1e-4)


def test_validation_pictures_may_have_another_type(good):
    """Floats in [0, 1] validate what uint8 pictures trained."""
    detector = mean().fit(good[:30], validation_data=good[30:] / 255)
    other = mean().fit(good[:30], validation_data=good[30:])
    assert detector.offset_ == pytest.approx(other.offset_, rel=1e-4)


# Rows ----------------------------------------------------------------------------------------------


def test_rows_are_pictures_of_the_given_shape(good):
    """With image_shape, rows are the pictures that they were flattened from, and so fitted alike."""
    X = np.ascontiguousarray(np.repeat(good, 3, axis=-1)[:, :12])
    rows = mean(image_shape=(12, 16, 3)).fit(X.reshape(40, -1))
    pictures = mean().fit(X)
    assert rows.image_shape_ == (12, 16, 3)
    assert np.array_equal(rows.score_samples(X.reshape(40, -1)), pictures.score_samples(X))
    assert np.array_equal(rows.score_samples(X), pictures.score_samples(X.reshape(40, -1)))


def test_rows_without_a_shape_are_lines():
    """Each row is then a picture of one line and one channel."""
    X = np.random.default_rng(0).random((6, 5))
    detector = mean().fit(X)
    assert detector.image_shape_ == (1, 5, 1)
    assert detector.anomaly_map(X).shape == (6, 1, 5)


@pytest.mark.parametrize("image_shape", [(4, 4, 1), (5,), (5, 1), (1, 1, 5, 1)])
def test_an_image_shape_that_does_not_fit_is_refused(image_shape):
    """Shape and number of values are in the message."""
    with pytest.raises(InputError, match=r"image_shape=.* does not fit rows of 5 values"):
        mean(image_shape=image_shape).fit(np.zeros((6, 5)))


def test_rows_of_another_length_are_refused_at_scoring():
    """The message has scikit-learn's words."""
    detector = mean().fit(np.random.default_rng(0).random((6, 5)))
    with pytest.raises(InputError, match=r"X has 4 features, but .* is expecting 5 features"):
        detector.predict(np.zeros((2, 4)))


# Files ---------------------------------------------------------------------------------------------


@pytest.fixture
def files(good, tmp_path):
    """Twelve good pictures as files."""
    return write(tmp_path / "good", good[:12])


@pytest.mark.parametrize(
    "make",
    [
        lambda paths: paths[0].parent,
        lambda paths: str(paths[0].parent),
        lambda paths: paths,
        lambda paths: [str(path) for path in paths],
        lambda paths: tuple(paths),
        lambda paths: np.array([str(path) for path in paths]),
    ],
    ids=["folder", "str folder", "paths", "str paths", "tuple", "array of str"],
)
def test_files_are_the_pictures_that_they_hold(make, files, good):
    """A folder and lists of paths give the same detector and scores as the pictures as an array."""
    detector = mean(image_size=None).fit(make(files))
    reference = mean().fit(good[:12])
    assert detector.image_shape_ == (16, 16, 1)
    assert detector.n_features_in_ == 256
    assert np.array_equal(detector.score_samples(make(files)), reference.score_samples(good[:12]))


def test_a_single_file_is_scored(files, good):
    """The path of one picture is a list of one."""
    detector = mean().fit(good)
    for path in (files[3], str(files[3])):
        assert np.array_equal(detector.score_samples(path), detector.score_samples(good[3:4]))


@pytest.mark.parametrize(
    ("image_size", "shape"), [(8, (8, 8, 1)), ((8, 12), (8, 12, 1)), (None, (16, 16, 1))]
)
def test_files_are_resized_to_image_size(image_size, shape, files):
    """To a square, to a height and width, or not at all."""
    assert mean(image_size=image_size).fit(files).image_shape_ == shape


def test_files_are_scored_at_the_fitted_size_and_channels(files, tmp_path, good):
    """Files of another size are resized to the detector's, and gray ones repeated to its channels."""
    larger = write(tmp_path / "large", good[:4].repeat(2, 1).repeat(3, 2))
    assert mean(image_size=8).fit(files).anomaly_map(larger).shape == (4, 8, 8)
    colours = mean().fit(np.repeat(good, 3, axis=-1))
    gray = mean().fit(good)
    assert colours.score_samples(files) == pytest.approx(gray.score_samples(files), rel=1e-6)


def test_colours_are_told_of_where_gray_was_fitted(good, tmp_path):
    """A coloured file scored by a gray detector becomes luminance, with a warning."""
    coloured = np.repeat(good[:1], 3, axis=-1)
    coloured[..., 0] //= 2
    (path,) = write(tmp_path / "colour", coloured)
    with pytest.warns(PictureWarning, match="luminance"):
        assert mean().fit(good).score_samples([path]).shape == (1,)


def test_channels_of_files_can_be_asked_for(files):
    """channels=3 repeats gray files."""
    assert mean(channels=3).fit(files).image_shape_ == (256, 256, 3)


def test_a_small_memory_budget_gives_the_same_detector(files):
    """Beyond it the pictures are in a memory-mapped file, and every bit is the same."""
    mapped = mean(image_size=16, batch_size=4, memory_budget=4 * 16 * 16)  # one batch
    assert not read_input(mapped, files, fitting=True).in_memory
    whole = mean(image_size=16).fit(files)
    assert np.array_equal(mapped.fit(files).score_samples(files), whole.score_samples(files))


def test_a_bad_file_is_named(files, good):
    """At fit and at scoring an unreadable file is an error with its path."""
    files[5].write_bytes(files[5].read_bytes()[:60])
    for call in (mean().fit, mean().fit(good).score_samples):
        with pytest.raises(PictureError, match=r"005\.png"):
            call(files)


@pytest.mark.parametrize("make", [str, Path])
def test_a_path_that_does_not_exist_is_named(make, good, tmp_path):
    """A folder or file that is missing is an input error, for fit as for scoring."""
    for call in (mean().fit, mean().fit(good).predict):
        with pytest.raises(InputError, match="missing"):
            call(make(tmp_path / "missing"))
        with pytest.raises(InputError, match=r"missing\.png"):
            call([make(tmp_path / "missing.png")])


def test_an_empty_folder_is_refused(tmp_path, good):
    """No pictures, no detector and no scores."""
    for call in (mean().fit, mean().fit(good).predict):
        with pytest.raises(InputError, match="holds no picture"):
            call(tmp_path)


def test_paths_and_arrays_do_not_mix(files, good):
    """A list is of one kind."""
    with pytest.raises(InputError):
        mean().fit([files[0], good[0]])


def labelled_folder(root, good, bad):
    train = write(root / "train" / "ok_front", good[:10])
    write(root / "train" / "def_front", bad[:3])
    write(root / "test" / "ok_front", good[10:13])
    write(root / "test" / "def_front", bad[3:6])
    return train


def test_a_labelled_folder_trains_on_its_good_training_pictures(good, bad, tmp_path):
    """Its defects and its test pictures stay out, and a warning says so."""
    train = labelled_folder(tmp_path, good, bad)
    with pytest.warns(PictureWarning, match="castings.*10 good training pictures") as caught:
        detector = mean(image_size=None).fit(tmp_path)
    assert len(caught) == 1
    reference = mean(image_size=None).fit(train)
    assert np.array_equal(detector.score_samples(bad), reference.score_samples(bad))
    assert detector.offset_ == reference.offset_


def test_all_pictures_of_a_labelled_folder_are_scored(good, bad, tmp_path):
    """Scoring leaves none out, in the order of the paths, and does not warn."""
    labelled_folder(tmp_path, good, bad)
    detector = mean().fit(good)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(detector.score_samples(tmp_path)) == 19


# Numbers of pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 15])
@pytest.mark.parametrize("detector", [CAE(epochs=2), CVAE(epochs=2), ReconstructionDetector("pca")])
def test_fewer_pictures_than_a_batch_are_enough(detector, count, good):
    """Down to two, one to train on and one to validate on."""
    detector.fit(good[:count])
    assert len(detector.validation_scores_) == max(1, round(0.2 * count))
    assert np.isfinite(detector.decision_function(good)).all()


def test_one_picture_is_too_few(good, files):
    """As an array, a row, a list of one path, one file or a folder of one."""
    for path in files[1:]:
        path.unlink()
    for X in (good[:1], good[:1].reshape(1, -1)):
        with pytest.raises(InputError, match=r"1 sample.*minimum of 2"):
            mean().fit(X)
    for X in (files[:1], files[0], str(files[0]), files[0].parent, from_array(good[:1])):
        with pytest.raises(InputError, match="got 1 picture; at least 2 are needed"):
            mean().fit(X)


def test_one_picture_is_scored(good):
    """A single picture has a score, a map and a reconstruction."""
    detector = mean().fit(good)
    assert detector.score_samples(good[:1]).shape == (1,)
    assert detector.predict(good[:1, ..., 0]).shape == (1,)


# Parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "share", "held_out"),
    [(10, 0.2, 2), (2, 0.2, 1), (2, 0.99, 1), (3, 0.01, 1), (100, 0.333, 33), (5, 0.9, 4)],
)
def test_a_share_is_held_out(count, share, held_out):
    """Validation has that share, both parts at least one picture, and none is in both."""
    pictures = from_array(np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1))
    training, validation = split_validation(pictures, share, seed=1)
    assert len(validation) == held_out
    everything = np.concatenate(
        [part.batch(slice(None)).ravel() for part in (training, validation)]
    )
    assert sorted(everything) == list(range(count))


def test_the_seed_decides_what_is_held_out():
    """The same seed holds out the same pictures, another one others."""
    pictures = from_array(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1))

    def held_out(seed):
        return split_validation(pictures, 0.2, seed)[1].batch(slice(None)).ravel().tolist()

    assert held_out(1) == held_out(1)
    assert held_out(1) != held_out(2)


def test_labels_say_what_is_anomalous():
    """-1 is anomalous and +1 is good, as floats, lists or arrays."""
    assert read_anomalous([1, -1, 1], 3).tolist() == [False, True, False]
    assert read_anomalous(np.array([-1.0, 1.0]), 2).tolist() == [True, False]


@pytest.mark.parametrize(
    "y", [[1, -1], [1, 0, 1], [[1], [1], [-1]], ["good", "bad", "good"], [1, np.nan, 1], None]
)
def test_labels_of_another_kind_are_refused(y):
    """Zeros and ones, words, other lengths and shapes are errors that say what is wanted."""
    with pytest.raises(InputError, match=r"labels must be 3 values of \+1 \(good\) or -1"):
        read_anomalous(y, 3)


def test_rows_and_paths_are_no_arrays_of_pictures():
    """as_pictures leaves to others what is no (n, h, w) or (n, h, w, c)."""
    assert as_pictures(np.zeros((3, 4))) is None
    assert as_pictures(["a.png"]) is None
    assert as_pictures(np.zeros((3, 4, 5))).shape == (3, 4, 5, 1)
