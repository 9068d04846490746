"""Archives of images: npz and mat files, their labels, and what is refused in one sentence."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io

from vdp.data import datasets, labels
from vdp.data.sources import _files, _in_place
from vdp.errors import UserError
from vdp.settings import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4)).astype(np.uint8)


def load(path, kind="npz", name="", **fields):
    return datasets.load(Data(name=f"{kind}:{path}{name}", **fields))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([2, 0, 1], [2, 0, 1]),
        ([[2], [0], [1]], [2, 0, 1]),
        ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [2, 0, 1]),
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [1, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        ([2.0, 0.0, 1.0], [2, 0, 1]),
    ],
)
def test_labels_are_understood(stored, expected):
    assert labels.whole(np.array(stored), 3, where="labels").tolist() == expected


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ([0, 1], r"shape \[2\] for 3 images"),
        ([[0, 1, 2]], r"shape \[1, 3\] for 3"),
        ([0, -1, 2], "from -1 to 2"),
        ([0, 1, 2**31], "from 0 to"),
        ([0.0, 0.5, 1.0], "not whole"),
        ([0.0, np.nan, 1.0], "not whole"),
        (["a", "b", "c"], "no numbers"),
        ([[0, 1], [1, 1], [1, 0]], "not one-hot"),
        ([[0, 2], [2, 0], [2, 0]], "not one-hot"),
    ],
)
def test_labels_that_cannot_be_meant(stored, says):
    with pytest.raises(UserError, match=says):
        labels.whole(np.array(stored), 3, where="labels")


def test_npz_of_two_values_has_two_levels(tmp_path):
    path = tmp_path / "x.npz"
    drawn = IMAGES > 115
    for stored in (drawn, drawn.astype(np.uint8), drawn * np.uint8(255)):
        np.savez(path, images=stored)
        dataset = load(path, binarization="dynamic")
        target, _ = datasets.fixed_images(
            dataset.splits["train"], dataset.facts, Data(binarization="dynamic")
        )
        rest = dataset.splits["test"].images
        assert dataset.facts.info.levels == 2
        assert target.sum() + rest.sum() == drawn.sum()  # no pixel is lost to binarisation


def test_npz_has_splits_labels_and_masks(tmp_path):
    path = tmp_path / "x.npz"
    exact = np.arange(20) != 3
    parts = {"train_images": IMAGES, "train_labels": np.arange(20)[:, None], "train_exact": exact}
    np.savez(path, **parts, val_images=IMAGES[:2], test_images=IMAGES[:5], notes=np.array("x"))
    splits = load(path).splits
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [19, 2, 5]
    assert splits["train"].labels.tolist() == np.arange(20)[exact].tolist()
    assert np.array_equal(splits["train"].images[..., 0], IMAGES[exact])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x_train": IMAGES}, "no `images` or `train_images`, but x_train"),
        ({"test_images": IMAGES}, "no `train_images`"),
        ({"images": IMAGES, "exact": np.ones(19, bool)}, "no mask of the 20 images"),
        ({"images": IMAGES, "exact": np.arange(20)}, "no mask of the 20 images"),
        ({"images": IMAGES, "exact": np.zeros(20, bool)}, "keeps no image"),
        ({"images": IMAGES, "labels": np.array(["a"] * 20)}, "`labels` of .* are no numbers"),
        ({"images": IMAGES, "labels": np.array([None] * 20)}, "`labels` holds pickled"),
        ({"images": IMAGES, "levels": 1}, "at least 2"),
        ({"images": IMAGES, "levels": 65_537}, "announces 65537 levels"),
        ({"images": IMAGES, "levels": 300}, r"300 levels.*data\.levels=256"),
        ({"images": np.zeros((5, 3, 8, 8), np.uint8)}, "channels first"),
        ({"images": np.zeros((5, 8), np.uint8)}, r"`images` is \[5, 8\]"),
    ],
)
def test_npz_that_cannot_be_meant(tmp_path, arrays, says):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=says) as error:
        load(tmp_path / "x.npz", verify=False)
    assert "verify" not in str(error.value)


def test_other_files_than_npz_are_named(tmp_path):
    path = tmp_path / "x.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(UserError, match=r"single npy array; .*np\.savez"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", b"text")
    with pytest.raises(UserError, match="`images` is no array"):
        load(path)
    np.savez(path, images=IMAGES)
    content = path.read_bytes()
    directory = content.rindex(b"PK\x01\x02") + 10  # the method of compression
    path.write_bytes(content[:directory] + b"\x09" + content[directory + 1 :])
    with pytest.raises(UserError, match="not a readable npz"):
        load(path)


def test_sizes_are_compared_with_the_file_before_they_are_allocated(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    header = io.BytesIO()
    shape = {"shape": (10**6, 10**4, 10**4), "fortran_order": False, "descr": "|u1"}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"\0" * 100)
    with pytest.raises(UserError, match="announces 100000000000000 bytes that are not in"):
        load(path)
    np.savez(path, images=IMAGES)
    monkeypatch.setattr(_files.os, "sysconf", lambda name: 16)  # a machine of 256 bytes
    with pytest.raises(UserError, match="store fewer or smaller"):
        load(path)


@pytest.mark.parametrize(
    ("save", "how", "stay"),
    [
        (np.savez, dict(), {"train", "val", "test"}),
        (np.savez, dict(train_exact=np.ones(20, bool)), {"val", "test"}),
        (np.savez_compressed, dict(), set()),
        (np.savez, dict(by_column=True), set()),
        (np.savez, dict(dtype=np.int32), set()),
        (np.savez, dict(levels=128), set()),
        (np.savez, dict(val_images=None), set()),
    ],
)
def test_large_images_stay_in_their_file(tmp_path, monkeypatch, save, how, stay):
    path, how = tmp_path / "x.npz", dict(how)
    lie, dtype = "F" if how.pop("by_column", False) else "C", how.pop("dtype", np.uint8)
    asked = dict(levels=how.pop("levels", 0), num_validation=3)
    images = {"train_images": IMAGES, "val_images": IMAGES[:3], "test_images": IMAGES[:4]}
    images = {name: np.array(array, dtype, order=lie) for name, array in images.items()}
    parts = {name: array for name, array in (images | how).items() if array is not None}
    save(path, **parts, train_labels=np.arange(20))
    expected = load(path, **asked).splits
    monkeypatch.setattr(_in_place, "LEAST", 1)
    read = []
    monkeypatch.setattr(_files, "check_memory", lambda path, num_bytes: read.append(num_bytes))
    found = load(path, **asked).splits
    copied = parts.keys() - {f"{name}_images" for name in stay}
    assert read == [sum(parts[name].nbytes for name in copied) + 20 * 8]
    for name, split in expected.items():
        np.testing.assert_array_equal(found[name].images, split.images)
        np.testing.assert_array_equal(found[name].labels, split.labels)
    assert is_mapped(found["train"].images) == ("train" in stay)
    assert not is_mapped(expected["train"].images)


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_mat_files_of_every_layout(tmp_path):
    path = tmp_path / "x.mat"
    images = IMAGES[:12]
    columns = images.transpose(0, 2, 1).reshape(12, 16)  # as MATLAB flattens
    colour = np.random.default_rng(1).integers(0, 256, (12, 4, 5, 3)).astype(np.uint8)
    flat = colour[:, :, :4].transpose(0, 3, 2, 1).reshape(12, 48)
    one_hot = np.eye(3)[np.arange(12) % 3]
    wide = np.random.default_rng(2).integers(0, 256, (11, 13, 13)).astype(np.uint8)
    for variables, expected in [
        ({"ff": columns, "names": "cat"}, images[..., None]),
        ({"X": columns.T, "y": np.arange(12.0) % 3 + 1}, images[..., None]),
        ({"data": np.moveaxis(images, 0, 2), "target": one_hot.T}, images[..., None]),
        ({"images": images, "labels": np.arange(12) % 3}, images[..., None]),
        ({"X": np.moveaxis(colour, 0, 3)}, colour),
        ({"X": colour}, colour),
        ({"X": flat}, colour[:, :, :4]),
        ({"X": np.moveaxis(wide, 0, 2)}, wide[..., None]),  # fewer than their sides
        ({"X": wide}, wide[..., None]),
    ]:
        scipy.io.savemat(path, variables)
        dataset = load(path, kind="mat")
        whole = np.concatenate([split.images for split in dataset.splits.values()])
        assert sorted(map(bytes, whole)) == sorted(map(bytes, np.ascontiguousarray(expected)))
        has_labels = len(variables) == 2 and "names" not in variables
        assert dataset.facts.info.num_classes == (3 if has_labels else 0)


def test_flat_images_of_a_mat_file_are_read_by_row_where_asked(tmp_path):
    path = tmp_path / "x.mat"
    colour = np.random.default_rng(1).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
    for images in (IMAGES[:12, ..., None], colour):
        scipy.io.savemat(path, {"X": images.reshape(12, -1), "Z": images.reshape(12, -1).T})
        for name in ("#,rows", "#X,rows", "#Z,rows"):
            splits = load(path, kind="mat", name=name).splits.values()
            whole = np.concatenate([split.images for split in splits])
            assert sorted(map(bytes, whole)) == sorted(map(bytes, np.ascontiguousarray(images)))
    with pytest.raises(UserError, match=r"'row' \(did you mean rows\?\)"):
        load(path, kind="mat", name="#X,row")


def test_mat_variables_are_chosen_by_name(tmp_path):
    path = tmp_path / "x.mat"
    first, second = IMAGES > 128, IMAGES[:8] > 128
    scipy.io.savemat(path, {"train_data": first, "testdata": second, "other": IMAGES[:15]})
    dataset = load(path, kind="mat")
    assert dataset.facts.levels == 2
    assert np.array_equal(dataset.splits["test"].images[..., 0], second)
    assert dataset.splits["train"].images.sum() == first.sum()
    assert load(path, kind="mat", name="#other").facts.levels == 256
    scipy.io.savemat(
        path, {"testdata": IMAGES[:12], "target": np.arange(20), "testlabels": [*range(12)]}
    )
    named = load(path, kind="mat", name="#testdata").splits
    assert sum(len(split) for split in named.values()) == 12, "with labels of its own, not train's"
    one_hot = np.eye(4)[np.arange(20) % 3 + 1]  # no image of class 0
    scipy.io.savemat(path, {"X": IMAGES, "y": one_hot})
    assert load(path, kind="mat").facts.info.num_classes == 4
    (tmp_path / "c#").mkdir()
    scipy.io.savemat(tmp_path / "c#" / "x.mat", {"X": IMAGES})
    assert load(tmp_path / "c#" / "x.mat", kind="mat").facts.shape == (4, 4, 1)
    scipy.io.savemat(path, {"train_data": first, "testdata": second, "other": IMAGES[:15]})
    with pytest.raises(UserError, match=r"'othr' \(did you mean other\?\)"):
        load(path, kind="mat", name="#othr")
    scipy.io.savemat(path, {"a": IMAGES, "b": IMAGES})
    with pytest.raises(UserError, match=r"it holds a \[20, 4, 4\], b .*mat:PATH#NAME"):
        load(path, kind="mat")
    scipy.io.savemat(path, {"ff": np.zeros((13, 30))})
    with pytest.raises(UserError, match=r"reshape it to \[N, H, W\]"):
        load(path, kind="mat")
    for shape, says in (
        ((60, 110, 5), r"60 images of 110x5 or 5 of 60x110"),  # as 256x1100x10, a file of digits
        ((40, 28, 20), r"40 images of 28x20 or 20 of 40x28: reshape it to \[N, H, W, 1\]"),
        ((30, 3, 6, 6), r"shape 30x3x6x6: images are \[N, H, W, C\] or \[H, W, C, N\]"),
    ):
        scipy.io.savemat(path, {"X": np.zeros(shape, np.uint8)})
        with pytest.raises(UserError, match=says):
            load(path, kind="mat")
    faces = np.arange(3 * 2 * 40, dtype=np.uint8).reshape(3, 2, 40)
    scipy.io.savemat(path, {"X": faces})
    assert load(path, kind="mat").facts.shape == (3, 2, 1), "many more than they have rows"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n", "7.3.*HDF5"),
        (b"nothing of the kind", "no file of MATLAB"),
        (b"", "no file of MATLAB"),
    ],
)
def test_mat_files_that_are_none(tmp_path, content, says):
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(UserError, match=says):
        load(tmp_path / "x.mat", kind="mat")
