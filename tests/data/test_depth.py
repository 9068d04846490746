"""Levels of stored numbers: read as they are, scaled where asked, refused where none are meant."""

import numpy as np
import pytest

from vdp.data import datasets, depth, resizing
from vdp.data.core import Split
from vdp.errors import UserError
from vdp.settings import Data


def settle(pixels, **options):
    images, levels = depth.settle({"train": np.asarray(pixels)}, where="here", **options)
    assert images["train"].dtype == np.uint8
    return images["train"].tolist(), levels


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (np.array([[0, 7, 200]], np.uint8), {}, ([[0, 7, 200]], 256)),
        (np.array([[0, 7, 200]], np.int64), {}, ([[0, 7, 200]], 256)),
        (np.array([[0.0, 7.0, 200.0]]), {}, ([[0, 7, 200]], 256)),
        (np.array([[0, 7, 16]], np.uint8), {"declared": 17}, ([[0, 7, 16]], 17)),
        # two values: True and False, 0 and 1, black and white of 8 and of 16 bits
        (np.array([[True, False]]), {}, ([[1, 0]], 2)),
        (np.array([[1, 0]], np.uint8), {}, ([[1, 0]], 2)),
        (np.array([[1.0, 0.0]]), {}, ([[1, 0]], 2)),
        (np.array([[255, 0]], np.uint8), {}, ([[1, 0]], 2)),
        (np.array([[65_535, 0]], np.uint16), {}, ([[1, 0]], 2)),
        (np.array([[255, 0]], np.uint8), {"wanted": 256}, ([[255, 0]], 256)),
        (np.array([[255, 0, 254]], np.uint8), {}, ([[255, 0, 254]], 256)),
        # scaled to the nearest level, ends on ends
        (np.array([[65_535, 128, 129, 0]], np.uint16), {"wanted": 256}, ([[255, 0, 1, 0]], 256)),
        (np.array([[4095, 0]], np.uint16), {"wanted": 256, "declared": 4096}, ([[255, 0]], 256)),
        (np.array([[0, 127, 128, 255]], np.uint8), {"wanted": 2}, ([[0, 0, 1, 1]], 2)),
        (np.array([[0.0, 0.5, 0.9, 1.0]]), {"wanted": 5}, ([[0, 2, 4, 4]], 5)),
        (np.array([[0.5, 1.0000001]], np.float32), {"wanted": 256}, ([[128, 255]], 256)),
    ],
)
def test_levels_of_stored_numbers(pixels, options, expected):
    assert settle(pixels, **options) == expected


@pytest.mark.parametrize(
    ("pixels", "options", "says"),
    [
        ([[65_535, 1]], {}, r"65,536 levels.*data\.levels=256 scales"),
        ([[70_000, 1]], {"wanted": 256}, "has a pixel of 70,000"),
        ([[9, 0]], {"declared": 300}, r"300 levels.*data\.levels=256"),
        ([[9, 0]], {"declared": 9}, "announces 9 levels and has a pixel of 9"),
        ([[9, 0]], {"declared": 1}, "announces 1 levels"),
        ([[9, 0]], {"declared": 65_537}, "announces 65537 levels"),
        ([[-1, 3]], {}, "a pixel of -1"),
        ([[0.5, 0.25]], {}, r"data\.levels=256 rounds"),
        ([[0.5, 3.0]], {"wanted": 256}, "fractions and a pixel of 3"),
        ([[0.5, 1.01]], {"wanted": 256}, "fractions and a pixel of 1.01"),
        ([[0.5, 1.0]], {"wanted": 256, "declared": 16}, "more than the 16 levels"),
        ([[0.5, -0.5]], {"wanted": 256}, r"a pixel of -0\.5"),
        ([[0.5, np.nan]], {"wanted": 256}, "NaN"),
        ([["a"]], {}, "no numbers"),
        ([[1, 0]], {"wanted": 256}, "more than the 2 levels"),
    ],
)
def test_levels_that_cannot_be_meant(pixels, options, says):
    with pytest.raises(UserError, match=says):
        settle(pixels, **options)


def test_splits_have_their_levels_in_common():
    arrays = {"train": np.array([[0, 1]], np.uint8), "test": np.array([[3, 0]], np.uint8)}
    assert depth.settle(arrays, where="here")[1] == 256


def test_every_data_set_can_be_had_at_fewer_levels_and_another_size():
    data = Data(name="digits", levels=5, resize="6x10")
    assert datasets.describe(data) == datasets.load(data).facts
    assert datasets.describe(data).shape == (6, 10, 1)
    stored = datasets.load(Data(name="digits")).splits["test"].images
    images = datasets.load(Data(name="digits", levels=5)).splits["test"].images
    assert np.array_equal(images, np.rint(stored / 4).astype(np.uint8))
    with pytest.raises(UserError, match="more than the 17 levels"):
        datasets.describe(Data(name="digits", levels=256))


def test_archives_are_resized_before_their_levels_are_taken(tmp_path):
    """As folders are: black and white become greys, whole numbers stay whole."""
    halves = np.zeros((20, 4, 4), np.uint8)
    halves[:, :, 1:] = 255
    path = tmp_path / "x.npz"
    np.savez(path, images=halves)
    found = datasets.load(Data(name=f"npz:{path}", resize="2x2"))
    assert found.facts.levels == 256
    assert 0 < found.splits["train"].images.min() < 255
    np.savez(path, images=(halves / 255).astype(np.float32))
    assert datasets.load(Data(name=f"npz:{path}", resize="2x2")).facts.levels == 2


def test_resizing_crops_the_centre_and_averages():
    image = np.zeros((4, 12, 1), np.uint8)
    image[:, 4:8] = np.array([10, 30, 50, 70])[:, None, None]
    assert np.array_equal(resizing.fit(image, (4, 4)), image[:, 4:8])
    smaller = resizing.fit(image, (2, 2))
    assert smaller.dtype == np.uint8
    assert np.ptp(smaller[0]) == 0
    assert 20 < smaller[0, 0, 0] < 40 < smaller[1, 0, 0] < 60
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (64, 32))
    assert np.abs(resizing.fit(stripes, (8, 8)) - 0.5).max() < 0.1  # without a filter: 0 or 1
    assert resizing.fit(np.eye(4, dtype=bool), (8, 8)).dtype == bool


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"levels": 1}, "leaves no grey"),
        ({"levels": 257}, r"\[0, 256\]"),
        ({"resize": "32"}, "HEIGHTxWIDTH"),
        ({"resize": "0x4"}, "HEIGHTxWIDTH"),
        ({"background": "pink"}, "black, white"),
    ],
)
def test_settings_of_images_are_checked(fields, says):
    with pytest.raises(UserError, match=says):
        Data(**fields)


def test_fingerprint_sees_pixels_labels_and_levels():
    def dataset(images, labels, levels=256):
        info = datasets.Info(name="x", shape=(2, 2, 1), levels=levels)
        facts = datasets.Facts(info=info, levels=levels, input_levels=levels)
        return datasets.Dataset(facts=facts, splits={"train": Split.of(images, labels)})

    images, labels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.arange(3)
    same = datasets.fingerprint(dataset(images, labels))
    assert same == datasets.fingerprint(dataset(images[::-1][::-1], labels))  # not contiguous
    others = [
        dataset(images, labels[::-1]),
        dataset(images[::-1], labels),
        dataset(images, labels, levels=17),
        dataset(images.reshape(3, 1, 4), labels),
    ]
    assert len({same, *map(datasets.fingerprint, others)}) == 5
