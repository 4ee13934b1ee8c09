import json
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from recon_anomaly import (
    InputError,
    PluginError,
    ReconstructionDetector,
    SavedFileError,
    TrainingError,
    make_parts,
    run_bench,
)
from recon_anomaly.bench import iter_bench
from recon_anomaly.benchdata import BenchData, LabelledPictures
from recon_anomaly.decisions import decide
from recon_anomaly.events import Begun, Cell, Failed, Fitted
from recon_anomaly.pixelmetrics import PIXEL
from recon_anomaly.records import read_records
from recon_anomaly.report import tables
from recon_anomaly.rows import row_names
from recon_anomaly.spreadsheet import csv_text
from recon_anomaly.store import from_array

SMALL = {"models": ["mean", "pca"], "corruptors": ["gaussian"], "image_size": 16}
TINY = {"models": ["cvae"], "model_params": {"cvae": {"kernels": [2], "latent_size": 2}}}
VOLATILE = {"date", "fit_seconds", "milliseconds_per_picture", "process_peak_memory_mib", "seconds"}


def _settled(part):
    """Records as they are in a file, without what differs from run to run."""
    if isinstance(part, dict):
        return {name: _settled(value) for name, value in part.items() if name not in VOLATILE}
    if isinstance(part, list | tuple):
        return [_settled(value) for value in part]
    return part


def _trained(events):
    """What each cell trains, in words."""
    return [event.title for event in events if isinstance(event, Cell)]


@pytest.fixture(autouse=True)
def few_castings(monkeypatch):
    """The embedded set of fewer castings: 40 to train, 8 good and 10 defective to test, 5 to validate."""
    monkeypatch.setattr("recon_anomaly.benchdata.make_parts", partial(make_parts, 40, 8, 2, 1))


@pytest.fixture
def data(good, bad):
    """Small squares as a data set: 30 to train, 10 good and 8 bad to test."""
    test = np.concatenate([good[30:], bad])
    labels = np.repeat([0, 1], [10, 8])
    tests = LabelledPictures("defects", from_array(test), labels, ("good",) * 10 + ("corner",) * 8)
    return BenchData("squares", from_array(good[:30]), tests, (16, 16))


@pytest.fixture
def parts_folder(tmp_path, good, bad):
    """Small squares as files: 24 to train, 6 good and 8 bad to test."""
    for place, pictures in {
        "train/ok": good[:24],
        "test/ok": good[24:30],
        "test/def": bad,
    }.items():
        (tmp_path / "parts" / place).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / "parts" / place / f"{k}.png")
    return tmp_path / "parts"


def test_there_is_a_record_for_each_model_scorer_and_test_set():
    """The grid is whole, with the row that calls everything defective."""
    records = run_bench(scorers=["mse", "max1p"], **SMALL)
    found = {(r["model"], r["scorer"], r["test_set"]) for r in records}
    trivial = {("everything-defective", None, test) for test in ("gaussian", "defects")}
    assert found == trivial | {
        (model, scorer, test)
        for model in SMALL["models"]
        for scorer in ("mse", "max1p")
        for test in ("gaussian", "defects")
    }
    assert len({record["key"] for record in records}) == len(records) == 10


def test_a_model_is_trained_once_for_all_scorers():
    """One training is scored by every scorer on every test set."""
    events = iter_bench(scorers=["mse", "max1p"], **SMALL)
    cells = [event for event in events if isinstance(event, Cell)]
    assert [(cell.model, cell.number, cell.count) for cell in cells] == [
        ("mean", 1, 2),
        ("pca", 2, 2),
    ]
    assert {(cell.scorer, cell.schedule, cell.epochs) for cell in cells} == {(None, None, None)}


def test_figures_are_those_of_scikit_learn(data):
    """A record's figures equal scikit-learn's on the scores of the mean picture."""
    record = run_bench(data, models=["mean"], corruptors=[])[-1]
    order = np.random.default_rng(42).permutation(30)
    mean = data.train.batch(order[6:]).mean(0) / 255
    pixels = data.test.pictures.batch(slice(None)) / 255
    scores = ((pixels - mean) ** 2).mean((1, 2, 3))
    labels = data.test.labels
    assert record["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert record["average_precision"] == pytest.approx(average_precision_score(labels, scores))
    assert record["scores"] == pytest.approx(scores)
    assert record["labels"] == labels.tolist()
    held_out = data.train.batch(np.sort(order[:6])) / 255
    validation = ((held_out - mean) ** 2).mean((1, 2, 3))
    assert record["validation_scores"] == pytest.approx(validation)
    found = record["decisions"]["quantile"]
    assert found["threshold"] == pytest.approx(np.quantile(validation, 0.95))
    assert found["f1"] == pytest.approx(f1_score(labels, scores > found["threshold"]))
    low, high = record["intervals"]["auroc"]
    assert low <= record["auroc"] <= high


def test_everything_defective_has_the_figures_of_its_share(data):
    """The trivial row: AUROC a half, average precision the share, F1 2p / (1 + p)."""
    record = run_bench(data, models=["mean"], corruptors=[])[0]
    share = 8 / 18
    assert record["model"] == "everything-defective"
    assert record["auroc"] == 0.5
    assert record["average_precision"] == pytest.approx(share)
    assert list(record["decisions"]) == ["everything"]
    decision = record["decisions"]["everything"]
    assert decision["f1"] == pytest.approx(2 * share / (1 + share))
    assert (decision["oracle"], decision["threshold"], record["scores"]) == (False, None, None)


def test_the_threshold_never_sees_the_test_set(data):
    """Another test set leaves the threshold as it is; the oracle's goes with the labels."""
    other = LabelledPictures("defects", data.test.pictures, 1 - data.test.labels, data.test.kinds)
    turned = BenchData(data.name, data.train, other, data.image_size)
    first, second = (
        run_bench(d, models=["pca"], corruptors=[])[-1]["decisions"] for d in (data, turned)
    )
    assert first["quantile"]["threshold"] == second["quantile"]["threshold"]
    assert first["best-f1"]["threshold"] != second["best-f1"]["threshold"]


def test_no_training_sees_the_test_pictures(data):
    """Others, as unlike as negatives, leave losses, the kept epoch, validation scores and threshold as they are."""
    pictures = from_array(255 - data.test.pictures.take(slice(None)).array)
    other = LabelledPictures("defects", pictures, data.test.labels, data.test.kinds)
    turned = BenchData(data.name, data.train, other, data.image_size)
    first, second = (
        run_bench(d, corruptors=[], epochs=3, every_epoch=True, **TINY)[-1] for d in (data, turned)
    )
    assert first["auroc"] != second["auroc"]
    for name in ("validation_scores", "kept_epoch", "epochs_run"):
        assert first[name] == second[name]
    assert _settled(first["history"]) == _settled(second["history"])
    assert (
        first["decisions"]["quantile"]["threshold"] == second["decisions"]["quantile"]["threshold"]
    )


@pytest.mark.parametrize(("kept", "known"), [(slice(10), "specificity"), (slice(10, 18), "recall")])
def test_one_class_leaves_out_what_needs_both(data, kept, known):
    """With good or defective test pictures alone there is no ranking, and no rule of an oracle."""
    only = LabelledPictures(
        "defects", data.test.pictures.take(kept), data.test.labels[kept], data.test.kinds[kept]
    )
    record = run_bench(
        BenchData("some", data.train, only, (16, 16)), models=["mean"], corruptors=[]
    )[-1]
    assert record["auroc"] is None
    assert record["intervals"]["auroc"] is None
    (decision,) = record["decisions"].values()
    figures = {name: decision[name] for name in ("precision", "recall", "specificity", "f1")}
    assert [name for name, figure in figures.items() if figure is not None] == [known]


def test_defects_alone_have_no_corrupted_sets(data):
    """Without a good test picture there is nothing to corrupt; the bench says so and goes on."""
    defects = data.without(range(10))
    events = list(iter_bench(defects, models=["mean"], corruptors=["gaussian", "objects"]))
    assert {event["test_set"] for event in events if isinstance(event, dict)} == {"defects"}
    assert "gaussian, objects are left out" in events[0].notes[-1]


def test_a_record_keeps_what_any_rule_needs(data):
    """After JSON, deciding anew from the record gives the very decisions that the bench made."""
    (_, record) = json.loads(json.dumps(run_bench(data, models=["pca"], corruptors=[])))
    assert list(record["decisions"]) == ["quantile", "youden", "best-f1", "sensitivity"]
    assert record["decisions"] == {rule: decide(record, rule) for rule in record["decisions"]}


def test_a_fixed_threshold_is_decided_too(data, tmp_path):
    """A threshold adds the rule "value" to every record with scores, also to those from a file."""
    out = tmp_path / "bench.jsonl"
    settings = {"models": ["mean"], "corruptors": [], "out": out}
    trivial, record = run_bench(data, threshold=0.01, **settings)
    assert "value" not in trivial["decisions"]
    assert record["decisions"]["value"] == decide(record, "value", threshold=0.01)
    (*_, again) = run_bench(data, threshold=0.02, resume=True, **settings)
    assert again["decisions"]["value"]["threshold"] == 0.02
    assert again["key"] == record["key"]


def test_a_threshold_is_in_one_scorers_unit():
    """A threshold for two scorers, or none that is a number, is refused before anything runs."""
    with pytest.raises(InputError, match="in the unit of one scorer"):
        run_bench("nowhere", scorers=["mse", "max1p"], threshold=0.1)
    with pytest.raises(InputError, match="finite"):
        run_bench("nowhere", threshold=float("nan"))


@pytest.fixture
def leaky(data):
    """The squares, with three good test pictures and one defective one that were trained on."""
    pixels, train = data.test.pictures.batch(slice(None)), data.train.batch(slice(None))
    pixels[[1, 4, 7]] = train[[3, 2, 20]]
    pixels[12] = train[9]
    test = LabelledPictures("defects", from_array(pixels), data.test.labels, data.test.kinds)
    return BenchData("leaky", data.train, test, data.image_size)


def test_leakage_is_told_and_counted(leaky):
    """Before any training the bench says what leaks, and each record counts it."""
    begun, *events = iter_bench(leaky, models=["mean"], corruptors=["gaussian"])
    assert isinstance(begun, Begun)
    assert begun.notes[0].startswith("leaky: 3 of 10 good and 1 of 8 anomalous test pictures")
    leakage = {"identical": 4, "near": 0}
    assert all(event["leakage"] == leakage for event in events if isinstance(event, dict))


def test_leaked_pictures_can_be_dropped(leaky):
    """Every test set is made without them, under other keys; the counts stay those of the leak."""
    settings = {"models": ["mean"], "corruptors": ["gaussian"]}
    begun, *events = iter_bench(leaky, drop_leaked=True, **settings)
    records = [event for event in events if isinstance(event, dict)]
    assert "tested without them, on 7 good and 7 anomalous pictures" in begun.notes[1]
    sizes = {r["test_set"]: (r["n_test_good"], r["n_test_anomalous"]) for r in records}
    assert sizes == {"gaussian": (7, 7), "defects": (7, 7)}
    assert all(record["drop_leaked"] for record in records)
    assert all(record["leakage"] == {"identical": 4, "near": 0} for record in records)
    whole = run_bench(leaky, **settings)
    assert not {record["key"] for record in records} & {record["key"] for record in whole}
    kept = np.setdiff1d(np.arange(18), [1, 4, 7, 12])
    assert records[-1]["scores"] == pytest.approx(np.array(whole[-1]["scores"])[kept])


def test_test_pictures_among_the_defects_to_validate_on_are_told_and_counted(data):
    """They choose epochs and thresholds, so the page says it; the training pictures are counted apart."""
    bad = data.test.pictures.take([10, 13])
    labelled = replace(data, defects=bad, defects_from="elsewhere")
    begun, *events = iter_bench(labelled, models=["mean"], corruptors=[])
    assert begun.notes[0] == "squares: no test picture was found in the training pictures"
    assert begun.notes[-1] == (
        "squares: 2 of 18 test pictures stand in the defects to validate on, so the epochs and thresholds "
        "that these choose are optimistic"
    )
    leakage = {"identical": 0, "near": 0, "validation_defects": 2}
    assert all(event["leakage"] == leakage for event in events if isinstance(event, dict))
    clean = next(iter_bench(data, models=["mean"], corruptors=[], labelled_validation=True))
    assert not any("optimistic" in note for note in clean.notes)
    assert clean.leaked == {"identical": 0, "near": 0, "validation_defects": 0}


def test_wrong_parameters_show_before_any_training(data, tmp_path):
    """A parameter that one model does not take, or a model that is not there, ends the bench first."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="does not take"):
        run_bench(data, models=["mean", "cae"], model_params={"cae": {"depth": 3}}, out=out)
    with pytest.raises(InputError, match="'cvae', which is none of the models: mean, cae"):
        run_bench(data, models=["mean", "cae"], model_params={"cvae": {}}, out=out)
    assert not out.exists()


def test_whoever_listens_gets_each_fitted_detector(data):
    """After the records of each training comes the detector with its test sets."""
    events = list(iter_bench(data, models=["mean", "pca"], corruptors=["gaussian"], seeds=[1]))
    kinds = [type(event).__name__ for event in events if isinstance(event, Cell | Fitted | dict)]
    assert kinds == ["dict"] * 2 + ["Cell", "dict", "dict", "Fitted"] * 2
    fitted = [event for event in events if isinstance(event, Fitted)]
    assert [(event.model, event.seed) for event in fitted] == [("mean", 1), ("pca", 1)]
    assert [test.name for test in fitted[0].tests] == ["gaussian", "defects"]
    scores = fitted[1].detector.anomaly_score(data.test.pictures)
    assert events[-2]["scores"] == scores.tolist()


def test_the_same_settings_give_the_same_record(data):
    """A cell is a pure function of its settings, also for a network."""
    runs = [run_bench(data, models=["cvae"], corruptors=["objects"], epochs=1) for _ in range(2)]
    assert _settled(runs[0]) == _settled(runs[1])


def test_a_stopped_bench_goes_on(data, tmp_path):
    """With resume, done cells are taken from the file and the others are run."""
    out = tmp_path / "bench.jsonl"
    settings = {"models": ["mean", "pca", "nearest"], "corruptors": ["gaussian"], "seeds": [1, 2]}
    whole = run_bench(data, **settings)
    for event in iter_bench(data, out=out, **settings):
        if isinstance(event, Cell) and event.number == 4:
            break
    before = read_records(out)
    events = list(iter_bench(data, out=out, resume=True, **settings))
    assert [event.number for event in events if isinstance(event, Cell)] == [4, 5, 6]
    assert read_records(out)[: len(before)] == before
    by_key = sorted(_settled(read_records(out)), key=lambda record: record["key"])
    assert by_key == sorted(_settled(whole), key=lambda record: record["key"])
    assert [
        event
        for event in iter_bench(data, out=out, resume=True, **settings)
        if isinstance(event, Cell)
    ] == []


def test_a_file_that_exists_is_not_overwritten(data, tmp_path):
    """Without resume, an existing file of records is refused and stays."""
    out = tmp_path / "bench.jsonl"
    out.write_text("mine")
    with pytest.raises(SavedFileError, match="exists; say --resume"):
        run_bench(data, out=out, **{**SMALL, "image_size": None})
    assert out.read_text() == "mine"


def test_two_benches_do_not_write_one_file(data, tmp_path):
    """Each would write the file anew without the other's records; the second is refused at once."""
    settings = {"models": ["mean"], "corruptors": [], "out": tmp_path / "bench.jsonl"}
    first = iter_bench(data, **settings)
    next(first)
    with pytest.raises(SavedFileError, match=r"bench\.jsonl is in use by process"):
        run_bench(data, resume=True, **settings)
    assert [event["model"] for event in first if isinstance(event, dict)][-1] == "mean"
    assert len(run_bench(data, resume=True, **settings)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["bench.jsonl"]


@pytest.mark.parametrize("text", ["{", "[1]\n", '{"a": 1}\n'])
def test_a_file_of_something_else_is_refused(data, tmp_path, text):
    """With resume, a file that holds no records is named."""
    out = tmp_path / "bench.jsonl"
    out.write_text(text)
    with pytest.raises(SavedFileError, match=r"bench\.jsonl"):
        run_bench(data, out=out, resume=True, models=["mean"])


def test_names_are_checked_before_anything_runs(tmp_path):
    """A wrong name or an empty list ends the bench before it reads or writes."""
    for wrong in ({"models": ["cea"]}, {"scorers": ["mes"]}, {"corruptors": ["x"]}):
        with pytest.raises(PluginError, match="known are"):
            run_bench("nowhere", out=tmp_path / "out.jsonl", **wrong)
    with pytest.raises(InputError, match="each once"):
        run_bench("nowhere", seeds=[1, 1])
    assert not list(tmp_path.iterdir())


def test_an_out_file_that_cannot_be_written_is_found_first(tmp_path):
    """A missing folder for the records is an error before any training."""
    with pytest.raises(SavedFileError, match="cannot write"):
        next(iter_bench(out=tmp_path / "no" / "out.jsonl", **SMALL))


def test_records_are_json_lines_with_their_circumstances(tmp_path):
    """Each line is JSON and says machine, versions, settings, seconds and memory."""
    out = tmp_path / "bench.jsonl"
    records = run_bench(out=out, **SMALL)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines == json.loads(json.dumps(records))
    wanted = {
        "machine",
        "versions",
        "date",
        "seed",
        "image_size",
        "process_peak_memory_mib",
        "n_good",
        "scores",
        "labels",
        "validation_scores",
        "decisions",
        "leakage",
        "drop_leaked",
    }
    assert all(wanted <= set(line) for line in lines)


def test_a_failed_training_does_not_cost_the_others(data, tmp_path, monkeypatch):
    """A training that fails is reported at the end; the records of the others are in the file."""
    fit = ReconstructionDetector.iter_fit

    def failing(self, *arguments, **options):
        if self.model == "mean":
            raise TrainingError("a loss became NaN")
        return fit(self, *arguments, **options)

    monkeypatch.setattr(ReconstructionDetector, "iter_fit", failing)
    out = tmp_path / "bench.jsonl"
    events = iter_bench(data, models=["mean", "pca"], corruptors=[], out=out)
    (failed,) = (event for event in islice(events, 5) if isinstance(event, Failed))
    assert (failed.model, failed.seed, str(failed.error)) == ("mean", 42, "a loss became NaN")
    with pytest.raises(
        TrainingError, match="1 of 2 trainings failed: mean, seed 42: a loss became"
    ):
        list(events)
    assert {record["model"] for record in read_records(out)} == {"everything-defective", "pca"}


def test_a_bench_that_cannot_start_leaves_no_file(tmp_path):
    """After a wrong data folder the same --out can be used."""
    out = tmp_path / "bench.jsonl"
    with pytest.raises(InputError, match="does not exist"):
        run_bench(tmp_path / "nowhere", out=out)
    assert not out.exists()


def test_every_schedule_trains_every_network_once(data):
    """Rows go by model, then by schedule; a closed form knows none and is fitted once."""
    schedules = ["constant", ("constant", {"weights": {"kl": 4}}), ("kl-annealing", {})]
    settings = {**TINY, "models": ["cvae", "pca"], "schedules": schedules, "epochs": 1}
    events = list(iter_bench(data, corruptors=[], seeds=[1, 2], **settings))
    network = "cvae (kernels=[2], latent_size=2)"
    assert _trained(events) == [
        title
        for seed in (1, 2)
        for title in (
            f"{network}, constant, seed {seed}",
            f"{network}, constant (weights={{'kl': 4}}), seed {seed}",
            f"{network}, kl-annealing, seed {seed}",
            f"pca, seed {seed}",
        )
    ]
    records = [event for event in events if isinstance(event, dict)]
    assert len({record["key"] for record in records}) == len(records) == 1 + 2 * 4
    assert {record["schedule"] for record in records if record["model"] == "pca"} == {None}
    weighed = records[2]
    assert weighed["schedule_params"] == {"weights": {"kl": 4}}
    assert weighed["history"]["records"][0]["weights"] == {"reconstruction": 1.0, "kl": 4.0}
    fitted = [event for event in events if isinstance(event, Fitted)]
    assert [event.schedule for event in fitted[:4]] == [
        "constant",
        "constant",
        "kl-annealing",
        None,
    ]


def test_denoising_models_stand_beside_those_of_clean_pictures(data):
    """Each corruptor makes a row and records of its own, which really were trained so."""
    spoiled = ["none", ("gaussian", {"std": 0.5})]
    settings = {**TINY, "models": ["cvae", "pca"], "epochs": 1, "corruptors": []}
    events = list(iter_bench(data, training_corruptors=spoiled, **settings))
    network = "cvae (kernels=[2], latent_size=2), constant"
    assert _trained(events) == [
        f"{network}, seed 42",
        f"{network}, denoising gaussian (std=0.5), seed 42",
        "pca, seed 42",
    ]
    clean, denoising = (
        event for event in events if isinstance(event, dict) and event["model"] == "cvae"
    )
    assert clean["scores"] != denoising["scores"]
    assert "corruptor" not in clean
    assert (denoising["corruptor"], denoising["corruptor_params"]) == ("gaussian", {"std": 0.5})
    (figures, *_) = tables([clean, denoising], rules=["quantile"])
    assert [row[2] for row in figures.rows] == [
        "constant",
        "constant, denoising gaussian (std=0.5)",
    ]
    assert row_names([clean, denoising])[1].endswith(", denoising gaussian (std=0.5)")
    text = csv_text([denoising])
    assert 'gaussian,"{""std"": 0.5}"' in text
    (fitted, *_) = [event for event in events if isinstance(event, Fitted)][1:]
    assert fitted.detector.corruptor == "gaussian"


@pytest.mark.parametrize(
    ("corruptors", "message"),
    [
        ([], "training_corruptors=.*at least one"),
        (["none", "none"], "each once"),
        ("gaussian", "a list is wanted"),
        (["rain"], "no corruptor is named 'rain'"),
        ([("gaussian", {"std": -1})], "std is -1"),
    ],
)
def test_wrong_training_corruptors_are_refused(data, corruptors, message):
    """Before any training, whatever is wrong with them."""
    with pytest.raises((InputError, PluginError), match=message):
        next(iter_bench(data, training_corruptors=corruptors, **TINY))


def test_a_grid_of_parameters_makes_a_row_of_each(data):
    """Every combination is a model of its own, with the parameters that all have."""
    grid = {"cvae": {"latent_size": [2, 3]}}
    params = {"cvae": {"kernels": [2]}}
    records = run_bench(
        data, models=["cvae"], model_params=params, model_grid=grid, corruptors=[], epochs=1
    )
    assert [record["model_params"] for record in records[1:]] == [
        {"kernels": [2], "latent_size": 2},
        {"kernels": [2], "latent_size": 3},
    ]


def test_what_the_training_takes_is_passed_on_and_decides_the_key(data):
    """Epochs, batch size and learning rate reach the detector; by default they are the model's own."""
    settings = {**TINY, "corruptors": []}
    given = {"epochs": 2, "batch_size": 5, "learning_rate": 0.01}
    record = run_bench(data, **settings, **given)[-1]
    assert {name: record[name] for name in given} == given
    assert given.items() <= record["recipe"].items()
    assert (record["epochs_run"], record["epochs_trained"], record["diverged"]) == (2, 2, None)
    assert [epoch["learning_rate"] for epoch in record["history"]["records"]] == [0.01, 0.01]
    other = run_bench(data, **settings, **given | {"batch_size": 6})[-1]
    assert other["key"] != record["key"]


def test_a_schedule_that_lays_out_its_epochs_is_trained_by_them(data):
    """The number that is given counts for the others, and no lost branch is in what was observed."""
    schedules = ["constant", ("awl-loss", {"milestones": [1, 2, 4]})]
    settings = {"schedules": schedules, "corruptors": [], "every_epoch": True, **TINY}
    begun, *events = iter_bench(data, epochs=2, **settings)
    _, constant, adaptive = [event for event in events if isinstance(event, dict)]
    assert begun.notes[-1] == (
        "cvae (kernels=[2], latent_size=2): planned epochs differ between the schedules: constant 2, "
        "awl-loss (milestones=[1, 2, 4]) 4"
    )
    assert "planned epochs" not in next(iter_bench(data, epochs=4, **settings)).notes[-1]
    assert (constant["epochs"], constant["epochs_run"]) == (2, 2)
    assert (adaptive["epochs"], adaptive["epochs_run"], adaptive["recipe"]["epochs"]) == (
        None,
        4,
        4,
    )
    assert adaptive["epochs_trained"] > 4
    led = [(epoch["epoch"], epoch["path"]) for epoch in adaptive["history"]["records"]]
    assert [(seen["epoch"], seen["path"]) for seen in adaptive["observed"]] == led
    assert [len(path) for _, path in led] == [0, 1, 2, 2]
    assert adaptive["observed"][-1]["auroc"] == adaptive["auroc"]  # it keeps the last epoch


def test_what_is_seen_in_every_epoch_stands_beside_its_own_test_set(data):
    """Only networks have epochs, and only the set's own pictures are looked at; Youden's J is the oracle's."""
    settings = {**TINY, "models": ["cvae", "pca"], "corruptors": ["gaussian"], "epochs": 2}
    settings |= {"schedules": [("constant", {"keeps": "last"})], "scorers": ["mse", "max1p"]}
    plain = run_bench(data, **settings)
    records = run_bench(data, every_epoch=True, **settings)
    seen = {(r["model"], r["scorer"], r["test_set"]) for r in records if r.get("observed")}
    assert seen == {("cvae", "mse", "defects"), ("cvae", "max1p", "defects")}
    for before, record in zip(plain, records, strict=True):
        assert (before["key"] == record["key"]) == (not record.get("observed"))
        assert before["scores"] == record["scores"]
        assert (record.get("history") is None) == (not record.get("observed"))
    for record in records:
        if record.get("observed"):
            last = record["observed"][-1]
            assert len(record["observed"]) == 2
            assert last["auroc"] == record["auroc"]
            oracle = record["decisions"]["youden"]
            figures = (oracle["recall"], oracle["specificity"], oracle["threshold"])
            assert (last["sensitivity"], last["specificity"], last["threshold"]) == figures


def test_one_class_has_nothing_to_rank_in_every_epoch(data):
    """With defects alone the epochs have no figures; the bench says so, and goes on."""
    defects = data.without(range(10))
    begun, *_, record = (
        event
        for event in iter_bench(defects, corruptors=[], epochs=1, every_epoch=True, **TINY)
        if isinstance(event, Begun | dict)
    )
    assert "of one class, so the figures of every epoch are left out" in begun.notes[-1]
    assert (record["observed"], record["every_epoch"]) == (None, False)


LABELLED = {"labelled_validation": True, "corruptors": []}


def test_labels_leave_the_same_test_set_to_all(data):
    """A fifth of the defects is validated on, in no row tested on, and the page says so."""
    begun, *events = iter_bench(data, models=["mean", "pca"], seeds=[1, 2], **LABELLED)
    assert begun.notes[-1] == (
        "squares: labels to validate on come from 2 of its test defects, which are in no test set: "
        "corner 2 of 8"
    )
    records = [event for event in events if isinstance(event, dict)]
    counts = {
        (r["n_validation_anomalous"], r["n_test_good"], r["n_test_anomalous"]) for r in records
    }
    assert counts == {(2, 10, 6)}
    assert len({record["data_checksum"] for record in records}) == 1
    assert all(record["kinds"] == ["good"] * 10 + ["corner"] * 6 for record in records)


def test_labels_choose_a_threshold_that_is_no_oracle(data):
    """AUROC and Youden's J of the validation pictures are those of scikit-learn, by the record alone."""
    (_, record) = run_bench(data, models=["mean"], **LABELLED)
    scores = np.append(record["validation_scores"], record["validation_defect_scores"])
    labels = np.repeat([0, 1], [6, 2])
    assert record["validation_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    decision = record["decisions"]["youden-validation"]
    assert decision == decide(record, "youden-validation")
    assert not decision["oracle"]
    called = scores > decision["threshold"]
    false_alarms, found, _ = roc_curve(labels, scores)
    best = (found - false_alarms).max()
    assert called[labels == 1].mean() - called[labels == 0].mean() == pytest.approx(best)
    plain = run_bench(data, models=["mean"], corruptors=[])[-1]
    assert "youden-validation" not in plain["decisions"]
    assert (plain["validation_auroc"], plain["validation_defect_scores"]) == (None, None)


def test_a_schedule_that_reads_labels_is_trained_for_each_scorer(data):
    """Its figures are the scorer's, so a record is the same whatever other scorers are asked for."""
    settings = {**TINY, "schedules": ["constant", "awl-auc"], "corruptors": [], "epochs": 2}
    events = list(iter_bench(data, scorers=["mse", "max1p"], **settings))
    assert [title.partition("), ")[2] for title in _trained(events)] == [
        "constant, seed 42",
        "awl-auc by mse, seed 42",
        "awl-auc by max1p, seed 42",
    ]
    both = [event for event in events if isinstance(event, dict)]
    (_, constant, adaptive) = run_bench(data, scorers=["max1p"], **settings)
    assert _settled([constant, adaptive]) == _settled([both[2], both[4]])
    figures = [epoch["figures"]["auroc"] for epoch in adaptive["history"]["records"]]
    assert figures[adaptive["kept_epoch"] - 1] == pytest.approx(adaptive["validation_auroc"])
    assert [epoch["figures"] for epoch in constant["history"]["records"]] == [{}, {}]


def test_without_defects_to_validate_on_a_schedule_that_reads_labels_is_refused(data, tmp_path):
    """The error names the schedule that needs none, before anything is written."""
    good = data.without(range(10, 18))
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="take the schedule 'awl-loss', which needs no labels"):
        run_bench(good, schedules=["awl-auc"], corruptors=[], out=out, **TINY)
    assert not out.exists()


def test_the_embedded_castings_have_defects_of_their_own_to_validate_on():
    """They stand beside the training pictures, so the test set stays whole."""
    records = run_bench(models=["mean"], image_size=16, **LABELLED)
    assert {(r["n_validation_anomalous"], r["n_test_anomalous"]) for r in records} == {(5, 10)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"schedules": []}, "at least one is wanted"),
        ({"schedules": ["constant", "constant"]}, "each once"),
        ({"schedules": "constant"}, "a list is wanted"),
        ({"schedules": [("awl-auc", {"update_every": 0})]}, "update_every"),
        ({"schedules": [("constant", {"weights": {"kld": 1}})]}, "terms are: reconstruction, kl"),
        (
            {"model_grid": {"cvae": {"kernels": [[2], [3]]}}},
            "kernels of 'cvae' stands in model_params",
        ),
        ({"model_grid": {"cvae": {"beta": [1]}}}, "does not take"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"models": ["pca"], "model_params": {}, "batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_is_wrong_with_schedules_and_variants_shows_first(data, tmp_path, wrong, words):
    """Before any training the message names it, and no file is begun."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match=words):
        run_bench(data, corruptors=[], out=out, **{**TINY, **wrong})
    assert not out.exists()


def test_a_memory_budget_holds_for_what_is_read(tmp_path, parts_folder):
    """Beyond it pictures are in a file, with the same figures; one below a batch is refused at once."""
    settings = SMALL | {"models": ["mean"]}
    begun = next(iter_bench(parts_folder, memory_budget=4096, **settings))
    assert not begun.data.train.in_memory
    assert next(iter_bench(parts_folder, **settings)).data.train.in_memory
    mapped = run_bench(parts_folder, memory_budget=4096, **settings)
    assert _settled(mapped) == _settled(run_bench(parts_folder, **settings))
    out = tmp_path / "a.jsonl"
    with pytest.raises(InputError, match="memory_budget is 4000 bytes, and one batch"):
        run_bench(parts_folder, memory_budget=4000, out=out, **settings)
    with pytest.raises(InputError, match="memory_budget is 2048 bytes"):  # of each of two jobs
        run_bench(parts_folder, memory_budget=4096, jobs=2, out=out, **settings)
    assert not out.exists()


def test_a_precision_that_the_device_does_not_know_shows_first(data, tmp_path, monkeypatch):
    """Before anything is read or written."""
    monkeypatch.setattr("recon_anomaly.bench.choose_device", lambda name: torch.device("mps"))
    out = tmp_path / "a.jsonl"
    with pytest.raises(InputError, match="not known to work on 'mps'"):
        run_bench("nowhere", precision="bfloat16", device="mps", out=out, **TINY)
    assert not out.exists()


def test_masks_of_a_folder_give_figures_of_pixels(tmp_path, good, bad):
    """Of the set's own defects alone, the same from another process, and the masks decide the records' key."""
    parts = tmp_path / "parts"
    for place, pictures in {
        "train/good": good[:24],
        "test/good": good[24:30],
        "test/corner": bad,
    }.items():
        (parts / place).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(parts / place / f"{k}.png")
    options = {"models": ["mean"], "corruptors": ["gaussian"], "image_size": 16}
    without = run_bench(parts, **options)
    mask = np.zeros((16, 16), np.uint8)
    mask[:5, :5] = 255
    (parts / "ground_truth" / "corner").mkdir(parents=True)
    for k in range(len(bad)):
        Image.fromarray(mask).save(parts / "ground_truth" / "corner" / f"{k}_mask.png")
    records = run_bench(parts, **options)
    own = [r["test_set"] == "defects" for r in records]
    assert own == [False, True, False, True]
    figures = [r.get("pixel_auroc") for r in records]
    assert figures[:3] == [None] * 3
    assert figures[3] > 0.99
    assert records[3]["pixel_pictures"] == 14
    changed = [r["key"] != w["key"] for r, w in zip(records, without, strict=True)]
    assert changed == own
    (again,) = [
        record
        for record in run_bench(parts, **options, jobs=1)
        if record["test_set"] == "defects" and record["model"] == "mean"
    ]
    assert [again[name] for name in PIXEL] == [records[3][name] for name in PIXEL]
