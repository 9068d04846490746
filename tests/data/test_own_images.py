"""Images of one's own: archives, folders, tensorflow-datasets copies, synthetic draws."""

import types

import numpy as np
import pytest

from vdp.data import datasets
from vdp.data.core import Request
from vdp.data.sources import synthetic
from vdp.errors import UserError
from vdp.run import located
from vdp.settings import Data


def settings(name, **fields):
    return Data(name=name, **fields)


@pytest.fixture(autouse=True)
def no_user_data(monkeypatch, tmp_path):
    monkeypatch.delenv("VDP_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no-tfds"))


def test_npz_of_any_images(tmp_path):
    images = np.random.default_rng(4).integers(0, 5, (50, 6, 4)).astype(np.uint8)
    path = tmp_path / "some.npz"
    np.savez(path, images=images, levels=5)
    dataset = datasets.load(settings(f"npz:{path}", num_validation=5))
    assert dataset.facts.shape == (6, 4, 1)
    assert dataset.facts.levels == 5
    assert [len(dataset.splits[n]) for n in ("train", "validation", "test")] == [40, 5, 5]
    np.savez(path, images=images, levels=4)
    with pytest.raises(UserError, match="announces 4 levels"):
        datasets.load(settings(f"npz:{path}"))
    np.savez(path, train_images=images, test_images=images[:3], train_labels=np.arange(50))
    splits = datasets.load(settings(f"npz:{path}")).splits
    assert len(splits["test"]) == 3
    assert np.array_equal(splits["train"].labels, np.arange(50))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"PK\x03\x04 broken", "not a readable npz"), (b"", "not a readable npz"), (None, "none")],
)
def test_broken_npz_is_named(tmp_path, content, says):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        datasets.load(settings(f"npz:{path}"))


def test_npz_never_unpickles(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="`images` holds pickled"):
        datasets.load(settings(f"npz:{path}"))


def test_folder_of_images(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(5)
    for split, classes in {"train": ("cat", "dog"), "test": ("cat",)}.items():
        for label in classes:
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{i}.png")
    dataset = datasets.load(settings(f"folder:{tmp_path}"))
    assert dataset.facts.shape == (5, 7, 3)
    assert dataset.facts.info.num_classes == 2
    assert dataset.splits["train"].labels.tolist() == [0] * 4 + [1] * 4
    assert np.array_equal(dataset.splits["test"].images[3], pixels)
    (tmp_path / "train" / "cat" / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"bad\.png"):
        datasets.load(settings(f"folder:{tmp_path}"))
    Image.fromarray(pixels[:3]).save(tmp_path / "train" / "cat" / "bad.png")
    with pytest.raises(UserError, match="differ in size"):
        datasets.load(settings(f"folder:{tmp_path}"))


def test_grey_folder_keeps_one_channel(tmp_path):
    from PIL import Image

    for i in range(20):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i:02d}.png")
    dataset = datasets.load(settings(f"folder:{tmp_path}"))
    assert dataset.facts.shape == (4, 4, 1)
    assert len(dataset.splits["test"]) == 2


def test_synthetic_density_is_normalised_and_its_samples_follow_it():
    import itertools

    every = np.array(list(itertools.product(range(3), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)
    log_prob = synthetic.log_prob(every, 3)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-9)
    _, splits = synthetic.load("2x2x1x3", Request(dir=None))
    codes = splits["train"].images.reshape(-1, 4) @ 3 ** np.arange(3, -1, -1)
    counts = np.bincount(codes, minlength=81)
    expected = np.exp(log_prob) * len(codes)
    from scipy import stats

    frequent = expected > 5
    observed = np.append(counts[frequent], counts[~frequent].sum())
    predicted = np.append(expected[frequent], expected[~frequent].sum())
    assert stats.chisquare(observed, predicted * observed.sum() / predicted.sum()).pvalue > 1e-3


@pytest.mark.parametrize("arg", ["", "28", "28x28", "axbxc", "8x8x1x1", "8x8x1x300", "0x8x1"])
def test_synthetic_names_its_form(arg):
    with pytest.raises(UserError, match="synthetic"):
        datasets.describe(settings(f"synthetic:{arg}"))


def test_unknown_names_list_what_exists():
    with pytest.raises(UserError, match="npz:PATH") as error:
        datasets.load(settings("mnits"))
    assert "fashion_mnist" in str(error.value)
    with pytest.raises(UserError, match="dynamic, none"):
        datasets.load(settings("digits", binarization="sometimes"))
    with pytest.raises(UserError, match="lower it"):
        datasets.load(settings("digits", num_validation=5000))


def test_tfds_copies_are_read_without_tensorflow():
    import tensorflow_datasets as tfds

    from vdp.data.sources import tfds as source

    with tfds.testing.mock_data(num_examples=7):
        builder = tfds.builder("mnist")
        source_of_records = builder.as_data_source(split="train")
        images, labels = source._decode(source_of_records, np.asarray, where="mnist")
    assert images.shape == (7, 28, 28, 1)
    assert labels.min() >= 0
    import sys

    assert "tensorflow" not in sys.modules
    with pytest.raises(UserError, match="needs the name"):
        source.load("", Request(dir=None))


def test_a_folder_of_pictures_is_no_place_of_a_source_without_files(tmp_path):
    for name in ("digits", "synthetic:8x8x1", "npz:/nowhere.npz"):
        assert located.named(Data(name=name), str(tmp_path)) == {"name": f"folder:{tmp_path}"}
    assert located.named(Data(name="mnist"), str(tmp_path)) == {"dir": str(tmp_path)}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (
            ("train", "validation", "test"),
            {"train": "train", "validation": "validation", "test": "test"},
        ),
        (("train", "validation"), {"train": "train", "test": "validation"}),
        (("test",), None),
    ],
)
def test_splits_of_tfds_keep_their_names(tmp_path, monkeypatch, there, expected):
    import tensorflow_datasets as tfds

    from vdp.data.sources import tfds as source

    info = types.SimpleNamespace(splits=dict.fromkeys(there), features={})
    builder = types.SimpleNamespace(info=info, as_data_source=lambda split: split)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    monkeypatch.setattr(source, "_data_dir", lambda name, request: tmp_path)
    marked = lambda split: np.full((1, 1, 1, 1), len(split), np.uint8)  # by the name it has there
    stored = lambda split, convert, where: (marked(split), np.zeros(1, np.int32))
    monkeypatch.setattr(source, "_decode", stored)
    read = lambda: source._prepared("mine", Request(dir=None), "a copy", "mine", np.asarray)
    if expected is None:
        with pytest.raises(UserError, match="no split named train to learn from, but test"):
            read()
    else:
        found = {name: images for name, (images, _) in read()[0].items()}
        known = source._prepared(
            "mine", Request(dir=None), "a copy", "mine", np.asarray, ("train", "test")
        )
        assert known[0].keys() == {"train", "test"}, "of a set known by name"
        assert found == {name: marked(split) for name, split in expected.items()}


def test_records_of_tfds_keep_their_depth_and_name_their_sizes():
    from vdp.data.sources import tfds as source

    request = Request(dir=None, levels=256)
    pixels = np.linspace(0, 60_000, 16).reshape(4, 4, 1).astype(np.uint16)
    records = [{"image": pixels, "label": np.int64(-1)}, {"image": pixels[::-1], "label": 3}]
    stored = source._decode(records, lambda image: source._opaque(image, request), where="x")
    with pytest.raises(UserError, match=r"x, whose .* has 65,536 levels.*data\.levels=256"):
        source._levelled({"train": stored}, "x")
    splits, levels = source._levelled({"train": stored}, "x", wanted=256)
    assert (levels, splits["train"].labels.tolist()) == (256, [-1, 3])
    assert np.array_equal(splits["train"].images[0], np.rint(pixels / 257))
    records.append({"image": pixels[:3], "label": 0})
    with pytest.raises(UserError, match="4x4 of 2, 3x4 of 1"):
        source._decode(records, np.asarray, where="x")
    resized = lambda image: source._opaque(image, Request(dir=None, size=(2, 2)))
    assert source._decode(records, resized, where="x")[0].shape == (3, 2, 2, 1)
    glass = np.zeros((2, 2, 4), np.uint8)
    glass[0] = (10, 20, 30, 255)
    assert source._opaque(glass, request)[:, 0].tolist() == [[10, 20, 30], [255, 255, 255]]
