import os
import signal
import sys

import numpy as np
import pytest

from recon_anomaly import CVAE, InputError, PictureError
from recon_anomaly.clusterscoring import _chunks, score_on_cluster
from recon_anomaly.jobs import pool

COUNT = 70


@pytest.fixture(scope="module")
def detector():
    """A small network, with batches of 4."""
    pictures = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 1), np.uint8)
    made = CVAE(kernels=(2,), latent_size=2, image_size=16, epochs=1, batch_size=4)
    return made.fit(pictures)


@pytest.fixture
def files(save, gray):
    """Gray pictures of 20 x 20."""
    return [save(f"{k:02}.png", gray(k, (20, 20))) for k in range(COUNT)]


def _scored(*arguments, **options):
    parts = list(score_on_cluster(*arguments, **options))
    paths = [path for part in parts for path in part.paths]
    return paths, np.concatenate([part.scores for part in parts])


def test_scores_are_those_of_one_process(cluster, detector, files, monkeypatch):
    """In the order of the files, to the last bit; paths may be relative to the folder of this process."""
    monkeypatch.chdir(files[0].parent)
    relative = [path.relative_to(files[0].parent) for path in files]
    paths, scores = _scored(cluster.scheduler_address, detector, relative)
    assert paths == relative
    assert scores.tolist() == detector.anomaly_score(files).tolist()


def test_files_that_cannot_be_read_are_left_out_or_named(cluster, detector, files):
    """As without a cluster: an error with its path, or a list of them; never all of them."""
    address = cluster.scheduler_address
    for k in (3, 9, 40):
        files[k].write_bytes(b"")
    with pytest.raises(PictureError, match=r"(03|09|40)\.png cannot be used: it is empty"):
        _scored(address, detector, files)
    skipped, there = [], []
    paths, scores = _scored(address, detector, files, skipped=there)
    local = list(detector.iter_files(files, skipped=skipped))
    assert paths == [path for part in local for path in part.paths]
    assert there == skipped
    assert len(there) == 3
    expected = np.concatenate([part.scores for part in local])
    assert scores == pytest.approx(expected, rel=1e-6)


def test_without_one_file_that_can_be_read_there_is_an_error(cluster, detector, files):
    """Also where they are to be left out."""
    for path in files:
        path.write_bytes(b"")
    with pytest.raises(PictureError, match=f"none of the {COUNT} pictures can be used; the first"):
        _scored(cluster.scheduler_address, detector, files, skipped=[])


def test_the_device_is_that_of_the_workers(cluster, detector, files):
    """One that they lack is named before anything is scored."""
    with pytest.raises(InputError, match="'cuda:99' is not available here"):
        _scored(cluster.scheduler_address, detector, files, device="cuda:99")


@pytest.mark.parametrize("batch_size", [1, 4, 16, 300])
@pytest.mark.parametrize("count", [1, 4, 17, 64, 70, 1000, 5003])
@pytest.mark.parametrize("workers", [1, 3])
def test_chunks_are_whole_batches(count, batch_size, workers):
    """In order, nothing twice; the last one, too, is a batch or more, unless it is all there is."""
    paths = list(range(count))
    chunks = _chunks(paths, batch_size, workers)
    assert [path for chunk in chunks for path in chunk.paths] == paths
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert all(len(chunk.paths) % batch_size == 0 for chunk in chunks[:-1])
    assert len(chunks[-1].paths) >= min(batch_size, count)
    assert max(len(chunk.paths) for chunk in chunks) < max(256, batch_size) + 2 * batch_size
    if count >= 8 * workers * batch_size:
        assert len(chunks) >= 2 * workers


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no process groups")
def test_nothing_is_lost_when_a_worker_is_killed(cluster, detector, files):
    """Its chunks are scored elsewhere: every file once, in order, with the same scores."""
    (nanny, _) = cluster.workers.values()
    parts = []
    for part in score_on_cluster(cluster.scheduler_address, detector, files):
        if not parts:
            os.kill(nanny.pid, signal.SIGKILL)
        parts.append(part)
    assert len(parts) > 4
    assert [path for part in parts for path in part.paths] == files
    scores = np.concatenate([part.scores for part in parts])
    assert scores.tolist() == detector.anomaly_score(files).tolist()


def test_without_paths_nothing_is_asked_of_the_cluster(detector):
    """As where files are scored here; one path alone is no list."""
    with pytest.raises(InputError, match="no pictures were given"):
        _scored("tcp://127.0.0.1:1", detector, [])
    with pytest.raises(InputError, match=r"got one path, a\.png; give a list"):
        _scored("tcp://127.0.0.1:1", detector, "a.png")


def test_paths_may_be_text_and_the_pool_open(cluster, detector, files):
    """A pool serves several lists."""
    with pool(dask=cluster.scheduler_address) as workers:
        paths, scores = _scored(workers, detector, iter(map(str, files[:9])))
        again = _scored(workers, detector, files[:9])
    assert paths == again[0] == files[:9]
    assert scores.tolist() == again[1].tolist()
