import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import recon_anomaly

HEAVY = {"torch", "torchvision", "sklearn", "numpy"}


def _loaded_after(code):
    """The names in sys.modules of a fresh Python that ran ``code``."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_public_names_are_whole():
    """__all__ equals the table of homes, each name once; each can be had."""
    assert len(recon_anomaly.__all__) == len(set(recon_anomaly.__all__))
    assert set(recon_anomaly.__all__) == set(recon_anomaly._HOME_OF)
    assert all(getattr(recon_anomaly, name) is not None for name in recon_anomaly.__all__)


def test_the_version_is_that_of_the_package():
    """__version__ is what pyproject.toml says."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert recon_anomaly.__version__ == project["version"]


def test_an_unknown_name_is_an_attribute_error():
    """A name that is not public behaves as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'TeapotAE'"):
        recon_anomaly.TeapotAE  # noqa: B018 -- looking it up is the test


@pytest.mark.parametrize(
    "code",
    [
        "import recon_anomaly",
        "sys.argv = ['x', '--help']\ntry:\n    from recon_anomaly.cli import main; main()\nexcept SystemExit: pass",
        "sys.argv = ['x', 'plugins']\ntry:\n    from recon_anomaly.cli import main; main()\nexcept SystemExit: pass",
    ],
    ids=["import", "help", "plugins"],
)
def test_nothing_heavy_is_imported(code):
    """Importing the library, --help and plugins load neither torch nor scikit-learn nor numpy."""
    assert not HEAVY & _loaded_after(code)


def test_scoring_imports_no_more_than_it_needs(tmp_path, good):
    """The score of one picture loads nothing that only training, backbones or plots need."""
    model, picture = tmp_path / "cae.safetensors", tmp_path / "part.png"
    recon_anomaly.CAE(epochs=1).fit(good).save(model)
    Image.fromarray(good[0, ..., 0]).save(picture)
    arguments = ["recon-anomaly", "score", str(model), str(picture)]
    loaded = _loaded_after(
        f"sys.argv = {arguments}\ntry:\n    from recon_anomaly.cli import main; main()\nexcept SystemExit: pass"
    )
    assert "torch" in loaded
    assert (
        not {
            "torchvision",
            "matplotlib",
            "torch._dynamo",
            "sklearn.decomposition",
            "sklearn.metrics",
        }
        & loaded
    )
