"""How many images each split will have, without loading any: as `load` cuts them."""

import numpy as np
import pytest

from vdp.data import datasets
from vdp.errors import UserError
from vdp.settings import Data

IMAGES = np.random.default_rng(0).integers(0, 256, (95, 4, 4, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    "splits", [("",), ("train_", "test_"), ("train_", "val_"), ("train_", "val_", "test_")]
)
def test_counts_are_those_of_the_loaded_splits(tmp_path, splits):
    path = tmp_path / "mine.npz"
    sizes = dict(zip(splits, (95, 20, 30), strict=False))
    np.savez(path, **{f"{prefix}images": IMAGES[:size] for prefix, size in sizes.items()})
    data = Data(name=f"npz:{path}", num_validation=17)
    loaded = {name: len(split) for name, split in datasets.load(data).splits.items()}
    assert datasets.split_counts(datasets.describe(data), data) == loaded


def test_a_validation_split_that_leaves_nothing_is_refused_before_loading():
    data = Data(name="digits", num_validation=1437)
    with pytest.raises(UserError, match="leaves nothing of the 1437 training images"):
        datasets.split_counts(datasets.describe(data), data)


@pytest.mark.parametrize("name", ["digits", "npz"])  # a test split that is cut off, or its own
def test_another_seed_splits_otherwise(tmp_path, name):
    if name == "npz":
        images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), dtype=np.uint8)
        np.savez(tmp_path / "mine.npz", images=images)
        name = f"npz:{tmp_path / 'mine.npz'}"
    splits = [
        datasets.load(Data(name=name, num_validation=5, split_seed=seed)).splits
        for seed in (0, 1, 0)
    ]
    for part in ("test", "validation"):
        zero, one, again = (split[part].images for split in splits)
        assert len(zero) == len(one)
        np.testing.assert_array_equal(zero, again)
        assert not np.array_equal(zero, one), part


@pytest.mark.parametrize("binarization", ["none", "dynamic"])
def test_moments_are_those_of_what_the_encoder_sees(tmp_path, binarization):
    np.savez(tmp_path / "mine.npz", images=IMAGES)
    data = Data(name=f"npz:{tmp_path / 'mine.npz'}", binarization=binarization)
    loaded = datasets.load(data)
    train = loaded.splits["train"]
    seen = train.images / 255
    mean, std = datasets.moments(train, loaded.facts)
    np.testing.assert_allclose(mean, seen.mean())
    expected = seen.std() if binarization == "none" else np.sqrt(seen.mean() * (1 - seen.mean()))
    np.testing.assert_allclose(std, expected)
