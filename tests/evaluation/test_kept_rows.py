"""Results of a stopped evaluation: those that cannot be read, or joined, are computed again."""

import numpy as np
import pytest

from vdp.evaluation import resume
from vdp.runtime import npz

ROWS = {"value": np.arange(4.0), "ess": np.ones((4, 2))}


@pytest.mark.parametrize(
    "other",
    [
        {"value": np.arange(4.0), "ess": np.ones((4, 2))},  # without its seconds
        {**ROWS, resume.SPENT: np.ones(3)},
        {**ROWS, resume.SPENT: "long"},
        {"value": np.arange(4.0), "ess": np.ones((3, 2)), resume.SPENT: 1.0},
        {"value": np.float64(1), "ess": np.ones((4, 2)), resume.SPENT: 1.0},
        {"value": np.arange(4.0), resume.SPENT: 1.0},  # another estimator's
        {"value": np.arange(4), "ess": np.ones((4, 2)), resume.SPENT: 1.0},
        {"value": np.zeros(0), "ess": np.zeros((0, 2)), resume.SPENT: 1.0},
        {resume.SPENT: 1.0},
        {},
    ],
    ids=range(10),
)
def test_only_what_follows_on_what_is_there_is_read(tmp_path, other):
    npz.write(tmp_path / "0.npz", {**ROWS, resume.SPENT: 2.0})
    npz.write(tmp_path / "4.npz", other)
    rows = resume.Rows(tmp_path)
    read = rows.read()
    assert read.keys() == ROWS.keys()
    for name, array in ROWS.items():
        np.testing.assert_array_equal(read[name], array)
    assert rows.seconds == 2.0
    npz.write(tmp_path / "4.npz", {**ROWS, resume.SPENT: 1.0})
    assert len(resume.Rows(tmp_path).read()["value"]) == 8
