"""Two runs to be laid side by side."""

import pytest
from evaluated_runs import make_run


@pytest.fixture
def pair(tmp_path):
    return [make_run(tmp_path / "plain"), make_run(tmp_path / "better", prior="vdm", gain=0.5)]
