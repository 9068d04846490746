"""Records of runs from before a field was there."""

import pytest

from vdp import config
from vdp.errors import UserError
from vdp.settings import compare


def test_a_run_from_before_a_field_goes_on_where_it_has_no_effect():
    now = config.settings("digits_dvp")
    before = now.replace(model={k: v for k, v in now.model.items() if k != "free_bits"})
    compare.check_resumable(before, now)
    compare.check_resumable(now, before)
    other = config.settings("digits_dvp", [("model.free_bits", "0.5")])
    with pytest.raises(UserError, match="free_bits"):
        compare.check_resumable(before, other)
