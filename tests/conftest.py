"""Fixtures: small seeded pictures, the real ones where they are, and the third-party plugin."""

import multiprocessing
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # on tiny pictures two threads mostly wait
os.environ["SCIPY_ARRAY_API"] = "1"  # before scikit-learn: it skips two of its checks otherwise
os.environ["RECON_ANOMALY_PLUGINS"] = ""  # a stray plugin must not change a test; acme is asked for

import copy
import functools
import shutil
import signal
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from recon_anomaly.registry import plugin_manager

# How long drawing examples takes depends on what else the machine does; CI draws the same ones each time.
hypothesis.settings.register_profile(
    "loaded",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("loaded")

HERE = Path(__file__).parent
# Where "auto" looks must not vary; the processes that share the tests inherit the other name.
if "RECON_ANOMALY_WEIGHTS" in os.environ:
    os.environ["RECON_ANOMALY_REAL_WEIGHTS"] = os.environ.pop("RECON_ANOMALY_WEIGHTS")
REAL_WEIGHTS = os.environ.get("RECON_ANOMALY_REAL_WEIGHTS", "")

# Those that start processes or compute for long; one that came last would leave the other cores idle.
LONG = ["test_gridruns", "test_clustered", "test_distributed", "test_benchmarks", "test_real"]
LONG += [
    "test_kills",
    "test_clusterscoring",
    "test_clusters",
    "test_benchmarks_memory",
    "test_synthetic",
    "test_properties",
]

# What processes that tests fork have imported already: it takes each of them seconds.
PRELOADED = ["distributed", "recon_anomaly.bench", "torch._dynamo"]


def pytest_configure(config):
    # A job in the background of a shell ignores it, and so would whatever the tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest-xdist would begin with the files that have the most tests, and end with most of the long ones.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture
def good():
    """40 gray pictures of 16 x 16, uint8: a bright square on a dark ground, with noise."""
    return _squares(40, seed=0)


@pytest.fixture
def bad():
    """8 pictures like the good ones, with a corner that is much too bright."""
    pictures = _squares(8, seed=1)
    pictures[:, :5, :5] = 250
    return pictures


def _squares(count, seed):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(20, 40, (count, 16, 16, 1))
    for picture, level in zip(pictures, rng.integers(120, 160, count), strict=True):
        picture[4:12, 4:12] += level
    return pictures.astype(np.uint8)


@pytest.fixture
def gray():
    """Make noise (h, w), uint8, of a seed and a size."""

    def make(seed=0, size=(6, 8)):
        return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)

    return make


@pytest.fixture
def colour(gray):
    """Make noise (h, w, 3), uint8, of a seed and a size."""
    return lambda seed=0, size=(6, 8): gray(seed, (*size, 3))


@pytest.fixture
def save(tmp_path):
    """Save an array or a Pillow image in the test's folder, under a name, with Pillow's options."""

    def write(name, pixels, **options):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def real_data():
    """The folder of real pictures."""
    place = os.environ.get("RECON_ANOMALY_DATA")
    if not place:
        pytest.skip("RECON_ANOMALY_DATA does not name a folder of real pictures")
    return Path(place)


@pytest.fixture(scope="session")
def real_weights():
    """The folder of pretrained weights; a test names its file, or the folder in the environment."""
    if not REAL_WEIGHTS:
        pytest.skip("RECON_ANOMALY_WEIGHTS does not name a folder of pretrained weights")
    return Path(REAL_WEIGHTS)


@pytest.fixture(scope="session", autouse=True)
def drawn_weights(tmp_path_factory):
    """A file of VGG16's first weights, drawn at random, that "auto" finds: no test downloads any."""
    rng = np.random.default_rng(0)
    tensors = {}
    for layer, inputs, outputs in [(0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128)]:
        weights = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
        tensors[f"features.{layer}.weight"] = weights.astype(np.float32)
        tensors[f"features.{layer}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    path = tmp_path_factory.mktemp("weights") / "vgg16-drawn.safetensors"
    save_file(tensors, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECON_ANOMALY_WEIGHTS", str(path.parent))
        yield path


@pytest.fixture(scope="session", autouse=True)
def traced_once():
    """Each pretrained network is traced once, and copied from then on: tracing takes longer than most tests."""
    if "torch" not in sys.modules:  # no test of this run has a network
        yield
        return
    from recon_anomaly import backbones

    trace, measure = backbones._cut, backbones._channels_and_strides
    traced, shapes = functools.cache(trace), {}

    def cut_of(name, layers, device="meta"):
        if device != "meta":  # weights are drawn there, each time others
            return trace(name, layers, device)
        return copy.deepcopy(traced(name, layers))

    def shapes_of(cut, what):
        if what not in shapes:
            shapes[what] = measure(cut, what)
        return shapes[what]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "_cut", cut_of)
        patch.setattr(backbones, "_channels_and_strides", shapes_of)
        patch.setattr(backbones, "_networks", functools.cache(backbones._networks))
        yield


@pytest.fixture(scope="session")
def acme_site(tmp_path_factory):
    """The third-party package under tests/plugins/acme, really installed, in a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(site), str(HERE / "plugins" / "acme")]
    subprocess.run(command, check=True)
    return site


@pytest.fixture
def acme(acme_site, monkeypatch):
    """The third-party plugin, found as any installed one is."""
    monkeypatch.syspath_prepend(str(acme_site))
    monkeypatch.setenv("RECON_ANOMALY_PLUGINS", "acme")
    invalidate_caches()
    plugin_manager.cache_clear()
    yield acme_site
    plugin_manager.cache_clear()


@pytest.fixture(scope="module")
def processes_end():
    """Processes that tests of a file have kept end with the last of them."""
    yield
    from recon_anomaly import jobs  # here, since it imports torch

    with jobs.pool(2):
        pass


@pytest.fixture
def kept_processes(processes_end, monkeypatch):
    """Processes outlive a pool that ended well, for the file's next test: two take seconds to start."""
    from recon_anomaly import jobs

    ended = jobs._end_processes

    def end_processes(opened, *, at_once=False):
        if at_once:
            ended(opened, at_once=True)

    monkeypatch.setattr(jobs, "_end_processes", end_processes)


@pytest.fixture(scope="session")
def fork_server():
    """Processes of the method "forkserver" have imported much already."""
    multiprocessing.set_forkserver_preload(PRELOADED)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; without one the tests are skipped, but not in continuous integration."""
    found = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        # Where the project is checked a browser is installed; elsewhere it may be missing.
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("no Chromium, or no playwright, is installed: pages are not tested in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")  # its processes are never quite idle, so they end with the file
def started_cluster():
    """A Dask cluster of two worker processes on this machine, of one thread each."""
    distributed = pytest.importorskip("distributed")
    from dask import config

    with config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        distributed.utils.get_mp_context()  # Dask has a list of its own, which it sets once
        multiprocessing.set_forkserver_preload(PRELOADED)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as made:
            yield made


@pytest.fixture
def cluster(started_cluster):
    """That cluster with both workers: a test before may have ended one, which is then started anew."""
    from dask.distributed import Client

    with Client(started_cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return started_cluster
