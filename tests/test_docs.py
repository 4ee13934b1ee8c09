"""The docs say what the code does: names, hooks, commands and examples in them are held to it."""

import re
import shlex
import textwrap
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer
from PIL import Image

import recon_anomaly
from recon_anomaly import builtin, hookspecs
from recon_anomaly.cli import app
from recon_anomaly.registry import plugin_manager
from recon_anomaly.testing import check_schedule, check_scorer

ROOT = Path(__file__).parents[1]
ACME = ROOT / "tests" / "plugins" / "acme"
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "guide.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("recon_anomaly_"))
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


def _blocks(text, language):
    """The code blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def _calls(text):
    """The arguments of every call of the command in console blocks, a list each."""
    for block in _blocks(text, "(?:console|bash|sh)"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            call = None
            for word in [*words, ";"]:
                if call is None:
                    call = [] if Path(word).name == "recon-anomaly" else None
                elif set(word) <= set("();<>|&"):
                    yield call
                    call = None
                else:
                    call.append(word)


CALLS = [
    pytest.param(call, id=" ".join(call)) for page in PAGES for call in _calls(page.read_text())
]


@pytest.mark.parametrize("name", recon_anomaly.__all__)
def test_public_names_are_in_the_api_page(name):
    """Every public name has its directive in docs/api.md."""
    page = (ROOT / "docs" / "api.md").read_text()
    assert re.search(rf"^\.\. (auto|py:)\w+:: {name}(\(\))?$", page, re.MULTILINE)


@pytest.mark.parametrize("page", ["api.md", "plugins.md"])
def test_documented_names_exist(page):
    """What a page documents can be imported from the module that it names."""
    text = (ROOT / "docs" / page).read_text()
    module = None
    for kind, name in re.findall(r"^ *\.\. (currentmodule|auto\w+):: ([\w.]+)", text, re.MULTILINE):
        if kind == "currentmodule":
            module = import_module(name)
        else:
            home = recon_anomaly.ReconstructionDetector if kind == "automethod" else module
            assert hasattr(home, name), f"{home.__name__}.{name}"


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_are_documented(hook):
    """Every hook of hookspecs.py has its directive in docs/plugins.md."""
    assert f".. autofunction:: {hook}\n" in (ROOT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize(
    "name", sorted(name for hook in builtin.__all__ for name in getattr(builtin, hook)())
)
def test_built_in_parts_are_in_the_guide(name):
    """Every model, scorer, corruptor and schedule that ships is named in docs/guide.md."""
    assert f"`{name}`" in GUIDE.read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_in_the_guide(command):
    """Every command has an example in docs/guide.md."""
    assert command in [call[0] for call in _calls(GUIDE.read_text())]


@pytest.mark.parametrize("call", CALLS)
def test_commands_use_options_that_exist(call, tmp_path, monkeypatch):
    """A command line in README or docs is one that the command understands, as are the files that it reads."""
    monkeypatch.chdir(tmp_path)
    (options,) = _blocks(GUIDE.read_text(), "toml")
    for name in ("run.toml", "parts.safetensors.run.toml"):
        Path(name).write_text(options)
    group = typer.main.get_command(app)
    with group.make_context("recon-anomaly", list(call)) as context:
        name, command, rest = group.resolve_command(context, call)
        with command.make_context(name, rest, parent=context):
            pass


def test_the_plugin_in_contributing_is_the_one_that_is_tested():
    """The model, the first hook and the lines of toml are those of tests/plugins/acme."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    model, plugin = _blocks(text, "python")
    assert model == (ACME / "acme_recon" / "model.py").read_text()
    hooks = (ACME / "acme_recon" / "plugin.py").read_text()
    assert plugin == hooks[: len(plugin)]
    assert hooks[len(plugin) :].startswith("\n\n@hookimpl")
    (entry,) = _blocks(text, "toml")
    assert entry in (ACME / "pyproject.toml").read_text()
    assert tomllib.loads(entry)["project"]["entry-points"][hookspecs.GROUP]


def test_the_parts_in_plugins_keep_what_the_page_says(good, capsys):
    """The Python of docs/plugins.md runs: its hook prints the weights, scorer and schedule obey the laws, its tests pass."""
    names = {}
    exec("\n".join(_blocks((ROOT / "docs" / "plugins.md").read_text(), "py")), names)
    try:
        recon_anomaly.CAE(epochs=1).fit(good)
    finally:
        plugin_manager().unregister(name="weights")
    assert "cae 1 {'reconstruction': 1.0}" in capsys.readouterr().out
    check_scorer(names["MedianAndLatent"])
    check_schedule(names["tried"])
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.parametrize("page", ["results.md", "reliability.md"])
def test_tables_of_figures_have_a_command(page):
    """Above the first one of each section stands what prints it: the bench, or a script that there is."""
    sections = re.split(r"^## ", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    tables = [section.partition("\n| --- |") for section in sections]
    figures = [above for above, line, below in tables if line and re.search(r"\|\s*[\d.]+ ", below)]
    assert figures
    for above in figures:
        scripts = re.findall(r"python (benchmarks/\w+\.py)", above)
        assert scripts or "recon-anomaly bench" in above, above[:60]
        assert all((ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
def test_examples_run(page, good, bad, tmp_path, monkeypatch):
    """The Python of README and guide runs from top to bottom, on small pictures in its folders."""
    for folder, pictures in {"good": good[:16], "held-out": good[16:24], "new": bad}.items():
        (tmp_path / folder).mkdir()
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / folder / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(_blocks(page.read_text(), "python"))
    assert code.count("image_size=128") == 1
    names = {}
    code = code.replace("image_size=128", "image_size=16, epochs=1")
    exec(code.replace("tile=256, overlap=64", "tile=8, overlap=2, epochs=1"), names)
    assert set(names["detector"].predict("new/")) <= {-1, 1}
    assert Path("parts.safetensors").is_file()


def test_the_python_of_the_results_runs(good, bad, tmp_path, monkeypatch, capsys):
    """It counts the parts of one folder, and benches another without the test picture that stands in training."""
    places = {"casting_512/ok_front": good[:6], "casting_300/test/def_front": bad}
    places |= {"casting_300/train/ok_front": good[:10], "casting_300/test/ok_front": good[9:13]}
    for folder, pictures in places.items():
        (tmp_path / folder).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / folder / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec("\n".join(_blocks((ROOT / "docs" / "results.md").read_text(), "python")), names)
    assert capsys.readouterr().out == f"{names['np'].bincount(names['parts'])}\n"
    assert len(names["parts"]) == 6
    assert names["same"] == [0]
