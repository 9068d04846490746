"""All images of a folder or an archive, read at once."""

import numpy as np
import pytest

from vdp.data import gathered
from vdp.errors import UserError


def test_splits_of_several_shapes_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    images = {
        f"{split}_images": np.zeros((3, n, n), np.uint8) for split, n in (("train", 8), ("test", 9))
    }
    np.savez(path, **images)
    with pytest.raises(UserError, match="shape"):
        gathered.read(path, 256)
