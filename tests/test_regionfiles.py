import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly import InputError
from recon_anomaly.regionfiles import COLUMNS, coco, write_table
from recon_anomaly.regions import Located, find_regions


@pytest.fixture
def located():
    """Two pictures of 24 x 36 with regions, one of them a ring, and one without."""
    ring = np.zeros((8, 12))
    ring[1:6, 2:7] = 2
    ring[3, 4] = 0
    ring[7, 11] = 5
    return [
        Located(Path("set/a.png"), (24, 36), 3.5, True, find_regions(ring, 1, size=(24, 36))),
        Located(Path("set/b.png"), (24, 36), 0.5, False, ()),
        Located(Path("set/deep/=c.png"), (8, 12), 2.0, True, find_regions(ring.T[:8], 1)),
    ]


def test_the_table_has_a_line_for_each_region(located):
    """Every figure comes back as it was."""
    text = io.StringIO(newline="")
    write_table(located, text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    wanted = [
        (str(picture.path), number, *region.box, region.area, region.mean, region.maximum)
        for picture in located
        for number, region in enumerate(picture.regions, 1)
    ]
    assert len(rows) == 3
    assert tuple(rows[0]) == COLUMNS
    for row, line in zip(rows, wanted, strict=True):
        assert row["path"] == line[0]
        assert [float(row[name]) for name in COLUMNS[1:]] == list(line[1:])


def test_coco_keeps_the_rules_of_its_reader(located):
    """As COCO's own reader wants it: unique ids, known pictures and category, boxes inside, polygons of three corners."""
    found = json.loads(json.dumps(coco(located, root="set"), allow_nan=False))
    images = {image["id"]: image for image in found["images"]}
    assert [image["file_name"] for image in found["images"]] == ["a.png", "b.png", "deep/=c.png"]
    assert len(images) == 3
    assert [category["id"] for category in found["categories"]] == [1]
    assert [annotation["id"] for annotation in found["annotations"]] == [1, 2, 3]
    for annotation in found["annotations"]:
        image = images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= image["width"]
        assert 0 <= y < y + height <= image["height"]
        assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)
        for polygon in annotation["segmentation"]:
            assert len(polygon) >= 6
            assert len(polygon) % 2 == 0
            assert all(isinstance(number, float) for number in polygon)


def test_polygons_cover_the_region_and_not_its_hole(located):
    """Pixel by pixel of the file, a centre is in exactly one polygon where the map exceeds, and in none elsewhere."""
    picture = located[0]
    wanted = np.zeros((24, 36), bool)
    wanted[3:18, 6:21] = wanted[21:, 33:] = True
    wanted[9:12, 12:15] = False
    covered = np.zeros((24, 36), int)
    for annotation in coco([picture])["annotations"]:
        area = 0
        for polygon in annotation["segmentation"]:
            corners = np.array(polygon).reshape(-1, 2)
            for row, column in np.ndindex(24, 36):
                after = np.roll(corners, -1, axis=0)
                low, high = np.minimum(corners, after)[:, 1], np.maximum(corners, after)[:, 1]
                right = corners[:, 0] > column + 0.5
                crossed = right & (low <= row + 0.5) & (row + 0.5 < high)
                covered[row, column] += crossed.sum() % 2
                area += crossed.sum() % 2
        assert area == annotation["area"]
    assert (covered == wanted).all()


def test_what_has_no_file_has_an_empty_path():
    """Pictures of an array are told apart by their order."""
    picture = Located(None, (1, 1), 1.0, True, find_regions(np.ones((1, 1)), 0))
    text = io.StringIO(newline="")
    write_table([picture], text)
    assert text.getvalue().splitlines()[1].startswith(",1,")
    with pytest.raises(InputError, match="picture 1 has no file"):
        coco([picture])
