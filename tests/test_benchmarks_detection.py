"""The benchmark of detection: its folders, its figures, its table, and what becomes of a contender that fails."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from recon_anomaly import run_bench
from recon_anomaly.backbones import Backbone
from recon_anomaly.benchdata import from_folder
from recon_anomaly.decoding import read_mask
from recon_anomaly.resampling import draw_resamples

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

PEER = """
import os, sys, time
sys.path.insert(0, {peers!r})
from detecting import Contender, compete

class Brightest(Contender):
    def fit(self, train, validation):
        with open({counter!r}, "a") as file:
            print(len(train), len(validation), sorted(os.listdir(self.settings["folder"])), file=file)
        {body}

    def score(self, pictures):
        return pictures.max((1, 2, 3)).astype(float) + self.settings["seed"]

    def maps(self, pictures):
        return pictures[..., 0]

compete(Brightest)
"""


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks, or of their peers, by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def labelled(tmp_path):
    """A folder of mvtec layout, 16 x 16 gray: 15 good to train on, 4 good and 4 spotted with masks to test."""
    rng = np.random.default_rng(0)
    root = tmp_path / "parts"

    def save(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for part, count in (("train/good", 15), ("test/good", 4), ("test/spot", 4)):
        for number in range(count):
            pixels = rng.integers(80, 120, (16, 16)).astype(np.uint8)
            mask = np.zeros((16, 16), np.uint8)
            if part == "test/spot":
                pixels[4 + number : 7 + number, 5:9] += 60
                mask[4 + number : 7 + number, 5:9] = 255
                save(root / "ground_truth/spot" / f"{number:03d}_mask.png", mask)
            save(root / part / f"{number:03d}.png", pixels)
    return root


@pytest.fixture
def peer(module, monkeypatch, tmp_path):
    """Let a script stand for a row of PyOD: a contender without torch, whose fit is given."""
    rows = module("detection_rows")
    counter = tmp_path / "fitted.txt"

    def make(body="pass"):
        script = tmp_path / "peer.py"
        peers = str(BENCHMARKS / "peers")
        script.write_text(PEER.format(peers=peers, counter=str(counter), body=body))
        monkeypatch.setitem(rows.SCRIPTS, "pyod", str(script))
        monkeypatch.setitem(rows.PACKAGES, "pyod", ("numpy",))
        return counter

    return make


@pytest.fixture
def run(module, labelled, tmp_path, capsys):
    """Run the benchmark on the labelled folder; return its records and what it printed."""

    def go(*options):
        out = tmp_path / "out.jsonl"
        common = [
            "--data",
            str(labelled),
            "--out",
            str(out),
            "--image-size",
            "16",
            "--threads",
            "1",
        ]
        module("detection").main([*common, *options])
        records = [json.loads(line) for line in out.read_text().splitlines()]
        return records, capsys.readouterr().out

    return go


def test_models_of_this_library_are_scored_as_the_bench_does(run, labelled):
    """A model and its parameters give the bench's own figures, and a network's training parameters are its own."""
    rows = ['pca:{"n_components": 4}', 'cae:{"epochs": 1, "kernels": [2, 2]}']
    records, text = run("--rows", *rows, "--seeds", "7")
    assert [record["label"] for record in records] == [
        "pca (n_components=4)",
        "cae (epochs=1, kernels=[2, 2])",
    ]
    pca, cae = records
    bench = run_bench(
        from_folder(labelled, 16),
        models=["pca"],
        model_params={"pca": {"n_components": 4}},
        corruptors=[],
        seeds=[7],
        device="cpu",
    )[-1]
    assert pca["scores"] == pytest.approx(bench["scores"])
    assert pca["validation_scores"] == pytest.approx(bench["validation_scores"])
    assert pca["threshold"] == pytest.approx(bench["decisions"]["quantile"]["threshold"])
    assert [pca[name] for name in ("auroc", "average_precision")] == pytest.approx(
        [bench["auroc"], bench["average_precision"]]
    )
    assert pca["f1"] == bench["decisions"]["quantile"]["f1"]
    assert pca["intervals"]["f1"] == bench["decisions"]["quantile"]["intervals"]["f1"]
    assert (pca["epochs_trained"], cae["epochs_trained"]) == (None, 1)
    assert pca["pixel_pictures"] == 8
    assert 0 < pca["peak_memory_mib"] < 4096 or sys.platform != "linux"
    assert "12 good to train on and 3 to validate, 4 good and 4 anomalous to test" in text


def test_the_standardised_distance_is_that_of_the_pictures(run, labelled):
    """Scores and the figures of pixels agree with the formula over the folder's own files."""
    (record,), _ = run("--rows", "standardised-distance", "--seeds", "3")
    data = from_folder(labelled, 16)
    train = data.split_validation(3)[0].batch(slice(None))[..., 0].astype(float)
    test = data.test.pictures.batch(slice(None))[..., 0].astype(float)
    maps = ((test - train.mean(0)) / np.maximum(train.std(0), 1)) ** 2
    assert record["scores"] == pytest.approx(maps.mean((1, 2)))
    masks = np.zeros((8, 16, 16), bool)
    for number in range(4):
        masks[4 + number, 4 + number : 7 + number, 5:9] = True
    assert record["pixel_auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), 1e-6)


def test_a_pixel_that_never_varied_counts_in_gray_levels(module):
    """Its deviation is one gray level, and gray and coloured pictures alike have one map each."""
    library = module("detect_library")
    train = np.full((3, 2, 2, 3), 7, np.uint8)
    train[:, 0, 0] = np.array([[1], [4], [7]])
    contender = library.Standardised({})
    contender.fit(train, train)
    test = np.full((1, 2, 2, 3), 7, np.uint8)
    test[0, 1, 1] = (9, 7, 7)
    maps = contender.maps(test)
    assert maps[0] == pytest.approx(np.array([[9 / 6, 0], [0, 4 / 3]]))
    assert contender.score(test) == pytest.approx([(9 / 6 + 4 / 3) / 4])


def test_a_peer_is_asked_once_and_judged_by_the_driver(run, peer):
    """Figures are scikit-learn's of its scores; it sees no label, and is not asked again for a record that is there."""
    counter = peer()
    options = ["--rows", "--peers", "pyod-vae", "--pyod-python", sys.executable]
    records, text = run(*options, "--seeds", "1", "2")
    assert [record["seed"] for record in records] == [1, 2]
    first = records[0]
    labels, scores = first["labels"], np.array(first["scores"])
    assert labels == [0] * 4 + [1] * 4
    assert first["kinds"] == ["good"] * 4 + ["spot"] * 4
    called = scores > np.quantile(first["validation_scores"], 0.95)
    assert first["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert first["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert first["f1"] == pytest.approx(f1_score(labels, called))
    assert first["versions"] == {"numpy": np.__version__}
    assert first["epochs"] == 30
    asked = "12 3 ['test', 'train', 'validation']\n"
    assert counter.read_text() == 2 * asked
    again, same = run(*options, "--seeds", "1", "2")
    assert (again, same) == (records, text)
    assert counter.read_text() == 2 * asked
    more, _ = run(*options, "--seeds", "1", "2", "3")
    assert more[:2] == records
    assert counter.read_text() == 3 * asked


def test_a_contender_that_fails_is_a_line_with_its_error(run, peer):
    """The others run, the table says why, and it is run again only where that is asked for."""
    counter = peer("if self.settings['row'] == 'pyod-vae': raise MemoryError('no room')")
    options = ["--rows", "--seeds", "1", "--pyod-python", sys.executable]
    records, text = run(*options)
    found = {record["row"]: record.get("error") for record in records}
    assert found == {"pyod-autoencoder": None, "pyod-vae": "MemoryError: no room"}
    assert "pyod-vae (epochs=30): failed: MemoryError: no room\n" in text
    peer()
    assert run(*options)[0] == records
    retried, _ = run(*options, "--retry-failed")
    assert [record["key"] for record in retried] == [record["key"] for record in records]
    assert not any("error" in record for record in retried)
    assert counter.read_text().count("\n") == 3


def test_a_contender_that_takes_too_long_is_ended(run, peer):
    """The limit stands in the row."""
    peer("time.sleep(600)")
    peers = ["--peers", "pyod-vae", "--pyod-python", sys.executable]
    (record,), text = run("--rows", *peers, "--seeds", "1", "--limit", "0.03")
    assert record["error"] == "the time limit of 0.03 minutes"
    assert "failed: the time limit of 0.03 minutes" in text


def test_a_loop_stops_before_the_time_limit(module, monkeypatch):
    """An epoch that would end too late is not begun, and the row says so; with time enough all are trained."""
    detecting = module("detecting")
    clock = iter(range(100))
    monkeypatch.setattr(detecting.time, "perf_counter", lambda: 10.0 * next(clock))
    contender = detecting.Contender({"epochs": 5, "seconds": 35})
    assert list(contender.epochs_in_time()) == [1, 2, 3]
    assert (contender.epochs, contender.notes) == (3, ["3 of 5 epochs, for the time limit"])
    contender = detecting.Contender({"epochs": 3, "seconds": 30})
    assert list(contender.epochs_in_time()) == [1, 2, 3]
    assert contender.notes == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"scores": [1.0] * 7}, "scores (7,) of 8 pictures"),
        ({"scores": [1.0] * 7 + [float("nan")]}, "scores that are no finite numbers"),
        ({"has_maps": True}, "maps (8, 4, 4) that are not finite and of the pictures' size"),
    ],
)
def test_an_answer_that_cannot_be_judged_is_an_error(module, labelled, tmp_path, answer, error):
    """Too few scores, such as are no numbers, and maps of another size are said, not mended."""
    data = from_folder(labelled, 16)
    masks = data.test.masks
    np.save(tmp_path / "maps.npy", np.zeros((8, 4, 4)))
    whole = {"scores": [1.0] * 8, "validation_scores": [1.0], "has_maps": False}
    assert module("detection").judged(whole | answer, data, masks, tmp_path) == {"error": error}


def test_what_is_written_is_what_the_library_reads(module, labelled, tmp_path):
    """Pictures and masks come back bit for bit, split as the bench splits them."""
    folders, detecting = module("detection_folders"), module("detecting")
    data = folders.read_set(str(labelled), 12)
    masks = data.test.masks
    place = tmp_path / "place"
    folders.write_folder(place, data, masks, 5)
    train, validation = data.split_validation(5)
    for part, pictures in (("train", train), ("validation", validation)):
        assert (detecting.read(place / "pictures" / part) == pictures.batch(slice(None))).all()
    assert (
        detecting.read(place / "pictures" / "test") == data.test.pictures.batch(slice(None))
    ).all()
    known = json.loads((place / "protocol.json").read_text())
    assert (known["labels"], known["kinds"][0], known["seed"]) == ([0] * 4 + [1] * 4, "good", 5)
    for name, mask in zip(known["masks"], masks, strict=True):
        assert (read_mask(place / name) == mask).all()
    assert [int(mask.any()) for mask in masks] == known["labels"]


def test_leaked_pictures_are_dropped_with_their_masks(module, labelled):
    """A test picture that is trained on goes where that is asked for, and the masks stay with their pictures."""
    folders = module("detection_folders")
    trained = labelled / "train" / "good" / "000.png"
    trained.write_bytes((labelled / "test" / "spot" / "001.png").read_bytes())
    assert len(folders.read_set(str(labelled), 16).test.labels) == 8
    data = folders.read_set(str(labelled), 16, drop_leaked=True)
    assert data.test.labels.tolist() == [0] * 4 + [1] * 3
    masks = data.test.masks
    assert [int(np.argwhere(mask)[0, 0]) for mask in list(masks)[4:]] == [4, 6, 7]


def _record(label, seed, scores, data="parts", **more):
    labels = np.repeat([0, 1], 20)
    auroc = roc_auc_score(labels, scores)
    return {
        **{"label": label, "seed": seed, "data": data, "data_checksum": data, "image_size": [8, 8]},
        **{"drop_leaked": False, "versions": {"acme": "1"}, "weights": None, "n_train": 9},
        **{"n_validation": 2, "n_test_good": 20, "n_test_anomalous": 20, "labels": labels.tolist()},
        **{"scores": list(scores), "auroc": auroc, "average_precision": 0.5, "f1": None},
        "intervals": {"auroc": [0.25, 0.75], "average_precision": None, "f1": None},
        **more,
    }


def test_rows_are_compared_on_the_same_resampled_pictures(module):
    """The best row stands first; the other's gap has the interval and p of a paired bootstrap by plain loops."""
    table = module("detection_table")
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    good, poor = (
        [_record(label, seed, labels * shift + rng.normal(size=40)) for seed in (1, 2)]
        for label, shift in (("good", 2.0), ("poor", 1.0))
    )
    gaps = []
    for count in draw_resamples(labels)[:40]:
        drawn = np.repeat(np.arange(40), count)
        one, other = (
            np.mean([roc_auc_score(labels[drawn], np.array(r["scores"])[drawn]) for r in records])
            for records in (poor, good)
        )
        gaps.append(one - other)
    found = table.differences(poor, good)
    assert found[:40] == pytest.approx(np.array(gaps))
    text = table.tables([*poor, *good])
    lines = text.splitlines()
    assert lines[0].startswith("parts: 9 good to train on and 2 to validate, 20 good and 20 anom")
    assert lines[0].endswith("8x8 px, 2 seeds")
    assert [line.split()[0] for line in lines[1:4]] == ["row", "good", "poor"]
    low, high = np.quantile(found, [0.025, 0.975])
    assert (
        f"[{low:+.3f}, {high:+.3f}] p {table.two_sided(found):.3f}".replace("0.", ".") in lines[3]
    )
    assert "pixel AUROC" not in text
    assert "F1" not in lines[1]


def test_the_p_of_a_gap_is_two_sided(module):
    """Twice the share on the rarer side, which a tie belongs to on both, and never more than 1."""
    two_sided = module("detection_table").two_sided
    assert two_sided(np.array([-1.0, -2, -3, 4])) == 0.5
    assert two_sided(np.array([-1.0, -2])) == 0
    assert two_sided(np.zeros(3)) == 1


def test_several_sets_have_a_table_of_means(module):
    """Each set counts once, however many seeds it has; rows that a set lacks stand last, and failures are told."""
    table = module("detection_table")
    labels = np.repeat([0, 1], 20)
    records = [
        _record("half", 1, labels * 1.0),
        _record("whole", 1, labels * 1.0),
        _record("whole", 2, labels * 1.0),
        _record("whole", 1, np.zeros(40), data="tiles", notes=["at 8x8"]),
        _record("half", 1, np.zeros(40), data="tiles") | {"error": "no room"},
    ]
    text = table.tables(records)
    means = text[text.index("AUROC of 2 sets") :].splitlines()
    assert means[2].split()[:5] == ["whole", "1.000", ".500", ".750", "(2)"]
    assert means[3].split()[:5] == ["half", "1.000", "-", "1.000", "(1)"]
    # As Markdown each row is the same, between pipes.
    piped = table.tables(records, markdown=True).splitlines()
    assert next(line for line in piped if line.startswith("| whole | 1.000 | .500 | .750 (2) |"))
    assert sum(line.startswith("| --- ") for line in piped) == 3
    assert "whole: at 8x8" in text
    assert "half: failed: no room" in text
    # A row of two versions is two rows.
    newer = _record("whole", 1, labels * 1.0) | {"versions": {"acme": "2"}}
    assert "whole, acme 2 " in table.tables([*records[:3], newer])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "cea"], "'cea'"),
        (["--rows", "pca:{n: 1}"], "no JSON"),
        (["--peers", "pyod-gan", "--pyod-python", "python"], "pyod-gan is unknown"),
        (["--peers", "pyod-vae"], "pyod-vae needs --pyod-python"),
        (["--weights", "file.pth"], "wants NAME=FILE"),
        (["--weights", "resnet18=no.pth"], r"not there: no\.pth"),
        (["--pyod-python", sys.executable, "--rows"], "has no pyod"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is(run, monkeypatch, module, options, message):
    """Names, parameters, interpreters and files are checked first."""
    monkeypatch.setitem(module("detection_rows").PACKAGES, "pyod", ("no-such-package",))
    with pytest.raises(SystemExit, match=message):
        run(*options)


def test_peers_run_where_an_interpreter_is_named(module, tmp_path):
    """Models with a backbone run once with each, and their labels say whose weights; epochs are the docs' or ours."""
    detection = module("detection")
    weights = tmp_path / "vgg16.pth"
    weights.write_bytes(b"weights")
    named = ["--anomalib-python", "python", "--backbone", "vgg16", "resnet18"]
    options = detection.make_parser().parse_args(
        [*named, "--weights", f"vgg16={weights}", "--rows"]
    )
    rows = module("detection_rows").rows_of(options)
    assert [row.label() for row in rows] == [
        "anomalib-padim, vgg16, vgg16.pth",
        "anomalib-padim, resnet18, random weights",
        "anomalib-patchcore, vgg16, vgg16.pth",
        "anomalib-patchcore, resnet18, random weights",
        "anomalib-fre (epochs=220), vgg16, vgg16.pth",
        "anomalib-fre (epochs=220), resnet18, random weights",
        "anomalib-ganomaly (epochs=100)",
    ]
    assert rows[0].settings({})["weights"] != rows[1].settings({})["weights"] is None
    options.peers, options.peer_epochs = ["anomalib-ganomaly", 'anomalib-fre:{"epochs": 3}'], 5
    fewer = module("detection_rows").rows_of(options)
    assert [(row.epochs, row.params) for row in fewer] == [(5, {}), (3, {}), (3, {})]


def test_vgg16_is_tapped_where_this_library_does(module, drawn_weights):
    """The same weights give the same features; what the file does not reach is averaged."""
    backbones = module("detect_backbones")
    images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    found = backbones.build("padim", "vgg16", str(drawn_weights))
    mean, deviation = (
        torch.tensor(values).reshape(1, 3, 1, 1) for values in (found.mean, found.deviation)
    )
    prepared = (images - mean) / deviation
    with torch.no_grad():
        (features,) = found.network(prepared)
    ours = Backbone("vgg16", weights=str(drawn_weights))(images)
    torch.testing.assert_close(features, ours)
    assert (found.layers, found.note) == (["taps.0"], "at stride 4")
    averaged = backbones.build("fre", "vgg16", str(drawn_weights))
    with torch.no_grad():
        (coarse,) = averaged.network(prepared)
    assert averaged.note == "at stride 4, averaged to 16"
    ratio = coarse / torch.nn.functional.avg_pool2d(ours, 4)
    known = ratio[ratio.isfinite()]  # where no unit of a square is on, both are 0
    assert len(known) > len(ratio.flatten()) / 2
    torch.testing.assert_close(known, known[:1].expand_as(known))
    random = backbones.build("patchcore", "vgg16", None)
    assert random.layers == ["taps.0", "taps.1"]
    assert [tuple(taken.shape) for taken in random.network(images)] == [
        (2, 256, 4, 4),
        (2, 512, 2, 2),
    ]


def test_names_of_efficientnet_lite_become_those_of_timm(module):
    """Stem, blocks that expand and those that do not; timm's own names stay."""
    named = module("detect_backbones").name_of_timm
    assert named("_conv_stem.weight") == "conv_stem.weight"
    assert named("_bn0.running_mean") == "bn1.running_mean"
    assert named("_blocks.0._depthwise_conv.weight") == "blocks.0.0.conv_dw.weight"
    assert named("_blocks.0._project_conv.weight") == "blocks.0.0.conv_pw.weight"
    assert named("_blocks.0._bn2.bias") == "blocks.0.0.bn2.bias"
    assert named("_blocks.2._expand_conv.weight") == "blocks.1.1.conv_pw.weight"
    assert named("_blocks.2._bn0.weight") == "blocks.1.1.bn1.weight"
    assert named("_blocks.15._project_conv.weight") == "blocks.6.0.conv_pwl.weight"
    assert named("_blocks.15._bn2.weight") == "blocks.6.0.bn3.weight"
    assert named("blocks.1.1.conv_dw.weight") == "blocks.1.1.conv_dw.weight"
    with pytest.raises(ValueError, match="16 blocks"):
        named("_blocks.16._bn2.weight")


def test_a_file_that_lacks_a_tensor_does_not_fill_a_network(module):
    """What is there is put in, what is not is named."""
    fill = module("detect_backbones").fill
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    state = {name: value + 1 for name, value in network.state_dict().items()}
    del state["1.num_batches_tracked"]
    fill(network, state | {"head.weight": torch.zeros(1)})
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())
    del state["0.bias"]
    with pytest.raises(ValueError, match=r"lacks 0\.bias"):
        fill(network, state)
