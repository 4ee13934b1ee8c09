import numpy as np
import pytest

from recon_anomaly import InputError, make_parts
from recon_anomaly.parts import find_parts, hold_out_parts
from recon_anomaly.pictures import list_pictures, read_pictures
from recon_anomaly.store import from_array


@pytest.fixture(scope="module")
def photographs():
    """12 castings that the library draws, all of one design, 48 px."""
    return make_parts(n_train=12, n_test_good=1, n_defects_per_kind=1, image_size=48).train


def _augmented(photographs, seed=0):
    """Each photograph three times: as it is, turned and darker, mirrored with noise."""
    rng = np.random.default_rng(seed)
    dark = np.rot90(photographs, 1, (1, 2)) * 0.8 + 5
    noisy = photographs[:, :, ::-1] + rng.normal(0, 1, photographs.shape)
    copies = np.concatenate([photographs, dark, noisy]).clip(0, 255).astype(np.uint8)
    order = rng.permutation(len(copies))
    return copies[order], np.tile(np.arange(len(photographs)), 3)[order]


def test_augmented_copies_are_of_one_part(photographs):
    """Turned, mirrored, darker and noisy copies share a number, and different parts have their own."""
    copies, truth = _augmented(photographs)
    found = find_parts(from_array(copies))
    assert len(np.unique(found)) == 12
    assert len({*zip(found, truth, strict=True)}) == 12


def test_different_parts_are_told_apart(photographs):
    """Parts of one design, each photographed once, are each a part of their own."""
    assert find_parts(from_array(photographs)).tolist() == list(range(12))


def test_parts_are_numbered_in_the_order_of_the_pictures(photographs):
    """The first picture shows part 0, and a new number is always the next one."""
    copies, _ = _augmented(photographs)
    found = find_parts(from_array(copies))
    firsts = [int(found[k]) for k in range(len(found)) if found[k] not in found[:k]]
    assert firsts == list(range(12))


def test_progress_counts_pictures(photographs):
    """It is called once a picture."""
    seen = []
    find_parts(from_array(photographs[:4]), progress=seen.append)
    assert seen == [1, 2, 3, 4]


def test_pictures_without_contrast_are_parts_of_their_own():
    """What shows nothing is like nothing."""
    flat = np.full((3, 16, 16, 1), 90, np.uint8)
    assert find_parts(from_array(flat)).tolist() == [0, 1, 2]


def test_tiny_pictures_are_refused():
    """Below eight pixels a side parts cannot be told apart."""
    with pytest.raises(InputError, match="too small to tell parts apart"):
        find_parts(from_array(np.zeros((3, 4, 9, 1), np.uint8)))


@pytest.mark.parametrize("seed", range(5))
def test_no_part_is_on_both_sides(seed):
    """Held-out parts are whole, reach the share by the last one, and leave the others."""
    parts = np.random.default_rng(seed).integers(0, 9, 60)
    kept, held_out = hold_out_parts(parts, 0.2, seed)
    assert sorted([*kept, *held_out]) == list(range(60))
    assert not set(parts[kept]) & set(parts[held_out])
    sizes = np.bincount(parts[held_out])
    assert len(held_out) >= 12 > len(held_out) - sizes.max()


def test_the_seed_decides_which_parts():
    """The same seed holds out the same parts, others hold out others."""
    parts = np.repeat(np.arange(20), 3)
    splits = [tuple(hold_out_parts(parts, 0.2, seed)[1]) for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


def test_at_least_one_part_stays():
    """However large the share, something is left to train on."""
    kept, held_out = hold_out_parts(np.array([0, 0, 0, 1]), 0.99, seed=0)
    assert len(kept) >= 1
    assert len(held_out) >= 1


def test_one_part_cannot_be_split():
    """Where all pictures show one part, that is said."""
    with pytest.raises(InputError, match="all 4 pictures show one part"):
        hold_out_parts(np.zeros(4, int), 0.2, seed=0)


def test_the_512_pixel_castings_show_few_parts(real_data):
    """The first 60 good pictures of casting_512 are copies of at most 22 photographs, in chains."""
    paths = list_pictures(real_data / "casting_512" / "ok_front")[:60]
    parts = find_parts(read_pictures(paths, image_size=96))
    assert 10 <= len(np.unique(parts)) <= 30
    assert np.bincount(parts).max() >= 3
