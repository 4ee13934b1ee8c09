"""What a report holds, from detectors and from records, before any browser sees it."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from recon_anomaly import InputError, ReconstructionDetector, SavedFileError, benchdata, decoding
from recon_anomaly.bench import run_bench
from recon_anomaly.benchdata import from_folder
from recon_anomaly.heatmaps import colours
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.htmlreport.contents import Contents, one_line, rule_in_words
from recon_anomaly.htmlreport.page import page, write_page
from recon_anomaly.htmlreport.paper import draw_plots
from recon_anomaly.htmlreport.recorded import (
    choose_row,
    contents_of_record,
    data_of_record,
    detector_of_record,
)
from recon_anomaly.htmlreport.scored import contents_of_folder
from recon_anomaly.htmlreport.tested import find_tested
from recon_anomaly.htmlreport.tiles import chosen, coarser, tile


@pytest.fixture
def labelled(tmp_path, good, bad):
    """A folder with 12 good pictures, 5 dents and 3 scratches, side by side."""
    pictures = {"good": good[20:32], "dent": bad[:5], "scratch": bad[5:]}
    return _folder(tmp_path / "labelled", pictures)


@pytest.fixture
def pca(good):
    """A detector without epochs, of 20 of the good pictures."""
    return ReconstructionDetector("pca", image_size=16, device="cpu").fit(good[:20])


def _folder(root, pictures):
    for name, of_kind in pictures.items():
        (root / name).mkdir(parents=True)
        for k, picture in enumerate(of_kind):
            Image.fromarray(picture[..., 0]).save(root / name / f"{k}.png")
    return root


def _contents(scores, kinds, threshold=2.0, **more):
    names = tuple(f"{k}.png" for k in range(len(scores)))
    return Contents("t", names, np.array(scores, float), kinds, threshold, "given", "mse", **more)


def test_large_files_are_allowed_for_all_of_a_report(monkeypatch, tmp_path, pca, good):
    """To score, to draw and to be compared with the training pictures."""
    root = _folder(tmp_path / "large", {"good": good[:4].repeat(2, 1).repeat(2, 2)})
    monkeypatch.setattr(decoding, "MAX_PIXELS", 32 * 32 - 1)
    pca.set_params(max_pixels=32 * 32)
    contents = contents_of_folder(pca, root, train=root / "good", source="a")
    assert len(contents.tiles) == 4


def test_a_folder_is_scored_as_the_detector_scores_it(pca, labelled):
    """Scores, decisions and kinds are those of the detector and of the folders, by hand."""
    found = contents_of_folder(pca, labelled, source="parts.safetensors")
    paths = [labelled / name for name in found.names]
    assert found.scores.tolist() == pca.anomaly_score(paths).tolist()
    assert found.kinds == tuple(path.parent.name for path in paths)
    assert found.labels.tolist() == [0] * 12 + [1] * 8
    assert found.decision["true_positives"] == int((pca.predict(paths[12:]) == -1).sum())
    assert [picture.position for picture in found.tiles] == found.order.tolist()
    assert set(found.tiles[0].views) == {"picture", "reconstruction", "map"}  # its map is the error
    assert found.history is None
    assert found.title == "labelled, scored by parts.safetensors"


def test_another_scorer_has_its_own_map_beside_the_error(good, labelled):
    """Where the scorer's map is not the squared error, both are shown."""
    detector = ReconstructionDetector("mean", scorer="l1", image_size=16, device="cpu").fit(
        good[:20]
    )
    found = contents_of_folder(detector, labelled)
    assert set(found.tiles[0].views) == {"picture", "reconstruction", "map", "error"}
    assert set(found.scales) == {"map", "error"}


def test_the_table_of_kinds_counts_each_kind(pca, labelled):
    """Counts and AUROC by kind are those of plain loops and scikit-learn."""
    found = contents_of_folder(pca, labelled, pictures=1)
    kinds = np.array(found.kinds)
    assert [row.kind for row in found.by_kind()] == ["good", "dent", "scratch"]
    for row in found.by_kind():
        of_kind = found.scores[kinds == row.kind]
        assert (row.pictures, row.called) == (len(of_kind), sum(of_kind > found.threshold))
        if row.kind != "good":
            both = np.isin(kinds, ["good", row.kind])
            assert row.auroc == roc_auc_score(kinds[both] == row.kind, found.scores[both])


def test_fewer_pictures_are_shown_and_all_are_counted(pca, labelled):
    """A bound on the pictures is said in the page, and changes no figure."""
    every, some = (contents_of_folder(pca, labelled, pictures=n) for n in (None, 4))
    assert (len(some.tiles), len(every.tiles)) == (4, 20)
    assert some.decision == every.decision
    assert "4 of 20 pictures are shown" in page(some)
    assert "pictures are shown" not in page(every)


def test_wrong_decisions_are_shown_first():
    """Of two pictures that may be shown the two wrong ones are, whatever their rank."""
    scores, labels = np.array([9.0, 8.0, 7.0, 6.0, 1.0]), np.array([1, 1, 1, 0, 1])
    assert chosen(scores, labels, 5.0, 2).tolist() == [3, 4]
    assert chosen(scores, None, 5.0, 3).tolist() == [0, 2, 4]
    with pytest.raises(InputError, match="pictures is 0"):
        chosen(scores, labels, 5.0, 0)


def test_one_bright_pixel_survives_in_a_small_map():
    """A map that is shown smaller keeps its highest value, which a mean would hide."""
    values = np.zeros((100, 60))
    values[77, 31] = 3.0
    small = coarser(values, 25)
    assert small.shape == (25, 15)
    assert np.argwhere(small).tolist() == [[19, 7]]
    assert small.max() == 3.0


def test_a_small_thumbnail_makes_a_small_page(gray):
    """Half the side is less than half the bytes, and nothing is enlarged."""
    picture, heat = gray(size=(256, 256))[..., None] / 255, gray(1, (256, 256)) / 255.0
    large, small = (tile(0, {"picture": picture}, {"map": (heat, 1.0)}, side) for side in (128, 64))
    assert 2 * sum(map(len, small.views.values())) < sum(map(len, large.views.values()))


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["good", "dent"], ("good", "dent")),
        (["good"], ("good",)),
        (["ng"], ("ng",)),
        (["defect_free", "scratch"], ("good", "scratch")),
        (["parts_good", "bad"], ("good", "bad")),
        (["bad", "others"], None),
        (["monday", "tuesday"], None),
    ],
)
def test_folders_say_what_is_good(tmp_path, good, names, kinds):
    """Names of folders give labels where one of them says good or bad, and else none."""
    _folder(tmp_path, dict.fromkeys(names, good[:1]))
    assert find_tested(tmp_path).kinds == kinds


def test_of_a_labelled_set_the_test_pictures_are_taken(tmp_path, good, bad):
    """Training pictures are left out with a sentence, unless everything is asked for."""
    root = tmp_path / "set"
    _folder(root / "train", {"good": good[:5]})
    _folder(root / "test", {"good": good[5:7], "dent": bad[:1]})
    assert find_tested(root).kinds == ("good", "good", "dent")
    assert "5 good ones" in find_tested(root).note
    assert find_tested(root, everything=True).kinds == ("good",) * 7 + ("dent",)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (None, "have no labels"),
        (("good",) * 3, "no anomalous pictures"),
        (("dent",) * 3, "no good pictures"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(kinds, said):
    """Without labels, or with one class, the page says so and has no curves."""
    contents = _contents([1.0, 3.0, 2.0], kinds)
    assert said in contents.missing
    text = page(contents)
    assert said in text
    assert 'id="roc"' not in text


@pytest.mark.parametrize(
    ("scores", "kinds", "said"),
    [
        ([], None, "no picture"),
        ([1.0, np.nan], None, "1 of 2 scores are not finite, the first is nan of 1.png"),
        ([1.0], ("good", "good"), "1 scores and 2 kinds"),
    ],
)
def test_what_cannot_be_shown_is_refused(scores, kinds, said):
    """No pictures, a score that is no number, or lists of two lengths: an error that says so."""
    with pytest.raises(InputError, match=said):
        _contents(scores, kinds)


def test_names_of_files_are_text():
    """Bytes that are no text, line breaks and turned writing are escaped; everything else stays."""
    assert one_line("ä\udcff\n\u202e<b>.png") == r"ä\xff\n\u202e<b>.png"


def test_names_never_become_markup():
    """Names of pictures, kinds and folders that are HTML stand in the page as text."""
    evil = "</script><img src=x onerror=alert(1)>\"'.png"
    contents = Contents(
        evil,
        (evil, "b.png"),
        np.array([3.0, 1.0]),
        (evil, "good"),
        2.0,
        evil,
        evil,
        (tile(0, {"picture": np.zeros((2, 2, 1))}, {}),),
        ((evil, evil),),
        (evil,),
    )
    text = page(contents)
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;.png" in text


def test_the_page_names_its_scripts_by_their_hashes():
    """The content security policy lets in the two scripts and the style of the page, and no address."""
    text = page(_contents([1.0], None))
    policy = re.search(r'Security-Policy" content="([^"]+)"', text).group(1)
    assert len(re.findall("'sha256-[A-Za-z0-9+/]{43}='", policy)) == 3
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_the_scale_of_colours_is_that_of_the_maps():
    """The bar beside the maps, in the style, has the colours of heatmaps at equal steps."""
    stops = [f"rgb({r} {g} {b})" for r, g, b in colours(np.linspace(0, 1, 6)[None], 1.0)[0]]
    assert f"linear-gradient(90deg, {', '.join(stops)})" in page(_contents([1.0], None))


def test_a_page_is_whole_or_absent(tmp_path, monkeypatch):
    """What fails while it is written leaves the old file, and no other."""
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("recon_anomaly.htmlreport.page.page", lambda contents: "\udcff")
    with pytest.raises(UnicodeEncodeError):
        write_page(_contents([1.0], None), path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("report.html", "old")
    ]


@pytest.fixture(scope="module")
def benched():
    """The folder and the records of the bench that `run_of` copies, once there are any."""
    return []


@pytest.fixture
def run_of(tmp_path, tmp_path_factory, benched, good, bad):
    """A labelled set, and the records of two models on it."""
    if not benched:
        place = tmp_path_factory.mktemp("benched")
        records = run_bench(
            _folder(place / "set", {"good": good, "bad": bad}),
            models=["mean", "pca"],
            scorers=["mse", "l1"],
            corruptors=["gaussian"],
            image_size=16,
            out=place / "bench.jsonl",
            keep_detectors=place / "kept",
        )
        benched += place, records
    shutil.copytree(benched[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "set", benched[1]


def test_a_record_becomes_a_report(run_of):
    """The row with the highest AUROC is taken, and its figures are those of the record."""
    root, records = run_of
    record, why = choose_row(records)
    own = [one for one in records if one["test_set"] == "defects" and one["scores"]]
    assert record["auroc"] == max(one["auroc"] for one in own)
    assert "Of 4 rows" in why
    contents = contents_of_record(record, data_of_record(record, root), chosen_by=why, pictures=5)
    decision = record["decisions"]["quantile"]
    assert contents.decision.items() <= decision.items()
    assert contents.ranking["auroc"] == record["auroc"]
    assert len(contents.tiles) == 5
    assert set(contents.tiles[0].views) == {"picture"}
    names = dict(zip(contents.names, contents.kinds, strict=True))
    assert all((name.split("/")[0] == "good") == (kind == "good") for name, kind in names.items())


def test_rows_are_chosen_by_number(run_of):
    """A number takes that row; a wrong one is answered with the list of all."""
    _, records = run_of
    for number, name in ((1, "gaussian"), (2, "defects")):
        assert choose_row(records, number)[0]["test_set"] == name
    assert choose_row(records, 5)[0]["model"] == "pca"
    with pytest.raises(
        InputError, match=r"(?s)row is 9.*  1  mean, mse, gaussian, seed 42.*  5  pca"
    ):
        choose_row(records, 9)
    with pytest.raises(InputError, match="the records have no scores"):
        choose_row([one for one in records if not one["scores"]])


@pytest.mark.parametrize("row", range(1, 9))
def test_kept_detectors_show_what_they_reconstruct(run_of, tmp_path, row):
    """Each row, of corrupted copies too, has the tiles that its detector draws of the very pictures of the row."""
    root, records = run_of
    record, _ = choose_row(records, row)
    data = data_of_record(record, root)
    detector = detector_of_record(record, tmp_path / "bench.jsonl", data)
    contents = contents_of_record(record, data, detector, pictures=4)
    assert detector.scorer == record["scorer"]
    assert {"picture", "reconstruction", "map"} <= set(contents.tiles[0].views)
    assert contents.decision.items() <= record["decisions"]["quantile"].items()
    if record["test_set"] == "gaussian":
        assert contents.names[-1] == f"gaussian {len(contents.names)}"


def test_the_detector_of_another_row_is_refused(run_of, tmp_path):
    """A file in the place of another is told by its scores; a missing one by its name."""
    root, records = run_of
    first, other = choose_row(records, 2)[0], choose_row(records, 6)[0]
    data = data_of_record(first, root)
    swapped = first | {"detector": other["detector"]}
    detector = detector_of_record(swapped, tmp_path / "bench.jsonl", data)
    with pytest.raises(InputError, match="other scores than the record has"):
        contents_of_record(first, data, detector)
    with pytest.raises(SavedFileError, match=r"gone\.safetensors"):
        detector_of_record(first | {"detector": "gone.safetensors"}, tmp_path / "bench.jsonl", data)


def test_the_pictures_of_a_run_are_found_again(tmp_path, good, bad, monkeypatch):
    """Split by part, with defects taken out to validate on and leaked pictures dropped, in the bench's order."""
    parts = np.arange(12) // 2
    monkeypatch.setattr(benchdata, "find_parts", lambda pictures: parts[: len(pictures)])
    root = _folder(tmp_path / "set", {"good": good[[*range(6), *range(6)]], "bad": bad[:6]})
    records = run_bench(
        root,
        models=["mean"],
        corruptors=[],
        image_size=16,
        split_by_part=True,
        labelled_validation=True,
        drop_leaked=True,
    )
    (record,) = [one for one in records if one["scores"]]
    leaked = record["leakage"]["identical"]
    assert leaked
    assert record["n_validation_anomalous"]
    data = data_of_record(record, root)
    assert data.test.labels.tolist() == record["labels"]
    assert data.test.kinds == tuple(record["kinds"])
    assert detector_of_record(record, tmp_path / "bench.jsonl", data) is None
    notes = contents_of_record(record, data).notes
    assert f"{leaked} identical, 0 near. These were dropped before testing." in notes[0]
    with pytest.raises(InputError, match="holds other pictures"):
        data_of_record(record | {"drop_leaked": False}, root)


def test_without_defects_the_copies_decide():
    """Of rows without an AUROC none is chosen while another has one, and the reason that is given is true."""
    rows = [
        {"test_set": name, "scores": [1.0], "auroc": auroc}
        for name, auroc in (("defects", None), ("gaussian", 0.7), ("gaussian", 0.8))
    ]
    best, why = choose_row(rows)
    assert best is rows[2]
    assert "Of 2 rows this has the highest AUROC" in why
    assert choose_row(rows[:2]) == (rows[1], "")
    assert choose_row(rows[:1]) == (rows[0], "The first of 1 rows, since none has an AUROC.")


def test_other_pictures_than_those_of_the_run_are_refused(run_of):
    """A folder that has changed since is an error, since scores would stand beside the wrong pictures."""
    root, records = run_of
    record, _ = choose_row(records)
    assert data_of_record(record, root).checksum() == from_folder(root, 16).checksum()
    with pytest.raises(InputError, match="name the folder of set with --data"):
        data_of_record(record, None)
    next(iter((root / "bad").iterdir())).unlink()
    with pytest.raises(InputError, match="holds other pictures"):
        data_of_record(record, root)


def test_plots_are_drawn_for_papers(tmp_path):
    """Each plot of the page is a PNG and a PDF, and the same report gives the same bytes."""
    pytest.importorskip("matplotlib")
    weights = {"reconstruction": 1.0}
    epochs = [
        EpochRecord(k, {"reconstruction": 1 / k}, {"reconstruction": 2 / k}, weights, 1e-3)
        for k in (1, 2)
    ]
    history = History(("reconstruction",), 2, epochs, kept_epoch=2)
    kinds = ("good", "dent", "dent", "good")
    contents = _contents([1.0, 3.0, 2.0, 1.5], kinds, history=history)
    first = draw_plots(contents, tmp_path / "both")
    names = ["scores", "precision-recall", "roc", "losses", "weights"]
    assert [path.name for path in first] == [f"t-{n}.{e}" for n in names for e in ("png", "pdf")]
    once, again = (draw_plots(_contents([1.0, 3.0], None), tmp_path / name) for name in "ab")
    assert [path.name for path in once] == ["t-scores.png", "t-scores.pdf"]
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_a_thumbnail_of_a_record_has_a_least_size():
    """No side of 0 pixels reaches the drawing."""
    with pytest.raises(InputError, match="thumbnail is 0"):
        contents_of_record({}, None, thumbnail=0)


def test_plots_take_dollars_as_they_are(tmp_path):
    """The name of a folder with two dollars is no formula."""
    contents = _contents([1.0, 3.0], ("good", "lot$_$7"))
    written = draw_plots(replace(contents, title="lot$_$7, scored"), tmp_path)
    assert all(path.stat().st_size for path in written)


def test_a_conformal_rule_is_said_with_its_rate():
    """Also where the rate is the default one, which nobody gave."""
    assert "false_alarm=0.05" in rule_in_words({"rule": "conformal"})
    assert "false_alarm=0.2" in rule_in_words({"rule": "conformal", "false_alarm": 0.2})
