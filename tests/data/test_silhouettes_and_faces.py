"""Caltech 101 silhouettes and the Frey faces: how their files store images, and wrong ones."""

import numpy as np
import pytest
import scipy.io

from vdp.data import datasets
from vdp.data.sources import freyfaces, silhouettes
from vdp.errors import UserError
from vdp.settings import Data


def loaded(name, folder, **fields):
    return datasets.load(Data(name=name, dir=str(folder), **fields))


def columns(images):
    """Each image as a row, stored column by column."""
    return images.transpose(0, 2, 1).reshape(len(images), -1)


@pytest.fixture
def objects():
    """Silhouettes as they are meant: 1 is the object."""
    return np.random.default_rng(0).integers(0, 2, (30, 28, 28))


def test_the_split_of_the_authors_is_kept(tmp_path, monkeypatch, objects):
    parts = {"train": (0, 14), "val": (14, 20), "test": (20, 30)}
    arrays = {}
    for name, (start, end) in parts.items():
        arrays[f"{name}_data"] = 1 - columns(objects[start:end])
        arrays[f"{name}_labels"] = np.arange(start, end)[:, None] + 1
    scipy.io.savemat(tmp_path / silhouettes.DIVIDED, arrays)
    with pytest.raises(UserError, match="instead of"):
        loaded("silhouettes", tmp_path)
    dataset = loaded("silhouettes", tmp_path, verify=False, num_validation=3)
    assert dataset.facts.levels == 2
    for name, part in zip(("train", "validation", "test"), parts.values(), strict=True):
        split = dataset.splits[name]
        assert np.array_equal(split.images[..., 0], objects[slice(*part)])
        assert np.array_equal(split.labels, np.arange(*part))


def test_all_silhouettes_without_a_split_are_divided(tmp_path, objects):
    arrays = {"X": 1 - columns(objects), "Y": np.arange(1, 31)[None]}
    scipy.io.savemat(tmp_path / silhouettes.WHOLE, arrays)
    dataset = loaded("silhouettes", tmp_path, verify=False, num_validation=5)
    counts = {name: len(split) for name, split in dataset.splits.items()}
    assert counts == {"train": 22, "validation": 5, "test": 3}
    test = dataset.splits["test"]
    assert np.array_equal(test.images[..., 0], objects[test.labels])


@pytest.mark.parametrize("kind", ["mat", "npz", "npz of fractions"])
def test_faces_are_read_from_either_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(freyfaces, "COUNT", 20)
    faces = np.random.default_rng(1).integers(0, 256, (20, 28, 20)).astype(np.uint8)
    if kind == "mat":
        scipy.io.savemat(tmp_path / freyfaces.MAT, {"ff": faces.reshape(20, -1).T})
    else:
        stored = faces / 255 if "fractions" in kind else faces
        np.savez(tmp_path / freyfaces.NPZ, images=stored)
    splits = loaded("freyfaces", tmp_path, num_validation=4).splits
    together = np.concatenate([split.images for split in splits.values()])[..., 0]
    assert together.shape == faces.shape
    in_order = lambda images: sorted(image.tobytes() for image in images)
    assert in_order(together) == in_order(faces)


def test_other_files_of_these_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="looked for frey_rawface"):
        loaded("freyfaces", tmp_path)
    np.savez(tmp_path / freyfaces.NPZ, images=np.zeros((3, 28, 28), np.uint8))
    with pytest.raises(UserError, match=r"\(3, 28, 28\)"):
        loaded("freyfaces", tmp_path)
    (tmp_path / silhouettes.WHOLE).write_bytes(b"MATLAB 5.0 MAT-file, cut off")
    with pytest.raises(UserError, match="cannot be used"):
        loaded("silhouettes", tmp_path)
