"""All images of a folder or an archive, read at once."""

import numpy as np
import pytest

from vdp.data import gathered
from vdp.errors import UserError


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_dark_images_of_whole_numbers_are_taken_as_they_are(tmp_path, dtype):
    dark = np.arange(12).reshape(3, 2, 2, 1) % 2
    np.savez(tmp_path / "mine.npz", images=dark.astype(dtype))
    assert np.array_equal(gathered.read(tmp_path / "mine.npz", 256), dark)
    np.savez(tmp_path / "said.npz", images=dark.astype(dtype), levels=2)
    assert np.array_equal(gathered.read(tmp_path / "said.npz", 256), 255 * dark)
    np.savez(tmp_path / "shares.npz", images=dark.astype(bool))
    assert np.array_equal(gathered.read(tmp_path / "shares.npz", 256), 255 * dark)


def test_archives_of_fewer_levels_than_256_fit_a_model_of_as_many(tmp_path):
    few = (np.arange(64 * 3) % 17).reshape(3, 8, 8, 1)
    np.savez(tmp_path / "mine.npz", images=few)
    (tmp_path / "mine.npz").rename(tmp_path / "MINE.NPZ")
    assert np.array_equal(gathered.read(tmp_path / "MINE.NPZ", 17), few)
    with pytest.raises(UserError, match="cannot be brought to 16 without loss"):
        gathered.read(tmp_path / "MINE.NPZ", 16)


def test_splits_of_several_shapes_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    images = {
        f"{split}_images": np.zeros((3, n, n), np.uint8) for split, n in (("train", 8), ("test", 9))
    }
    np.savez(path, **images)
    with pytest.raises(UserError, match="shape"):
        gathered.read(path, 256)
