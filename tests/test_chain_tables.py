"""The table of chains in the documentation: read, brought up to date and drawn."""

import pytest

from benchmarks import chain_tables
from vdp.errors import UserError

MARKS = ("<!-- few steps: x -->", "<!-- end of few steps: x -->")
LOSSES = {("fixed", 4): 11.0, ("fixed", 8): 3.0, ("trajectory", 4): 0.5, ("trained on", 0): -1.0}


def measured(losses):
    return {
        key: [{"bound": -80.0 - loss, "below": loss}, {"bound": -81.0 - loss, "below": loss + 0.2}]
        for key, loss in losses.items()
    }


def test_rows_that_were_not_measured_again_stay(tmp_path):
    page = tmp_path / "page.md"
    first = chain_tables.rows_of(measured(LOSSES))
    assert first["fixed", "4"]["below T=inf"] == "11.10 ± 0.10"
    page.write_text(f"a\n{MARKS[0]}\n{chain_tables.as_text(first)}\n{MARKS[1]}\nb")
    there = chain_tables.read(page, MARKS)
    assert chain_tables.as_text(there) == chain_tables.as_text(first)
    again = chain_tables.rows_of(measured({("trajectory", 4): 0.1, ("learned", 4): 2.0}))
    both = chain_tables.together(there, again)
    assert list(both) == [*first, ("learned", "4")]
    assert both["trajectory", "4"]["below T=inf"] == "0.20 ± 0.10"
    assert both["fixed", "8"] == there["fixed", "8"]
    chain_tables.draw(both, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000
    drawn = chain_tables.rows_of({("fixed", 4): [{"fid": 9.0, "fid_se": 0.5}]})
    seen = chain_tables.together(chain_tables.rows_of({("fixed", 4): [{"fid": 8.0}]}), drawn)
    assert seen["fixed", "4"]["FID"] == "9.00 ± 0.50"
    alone = {head: cell for head, cell in drawn["fixed", "4"].items() if cell}
    kept = chain_tables.together({("fixed", "4"): there["fixed", "4"] | alone}, again)
    assert kept["fixed", "4"] == there["fixed", "4"] | alone, "cells without a new number stay"
    bound_alone = chain_tables.rows_of(measured({("fixed", 4): 1.0}))
    kept = chain_tables.together({("fixed", "4"): there["fixed", "4"] | alone}, bound_alone)
    assert kept["fixed", "4"]["FID"] == "9.00 ± 0.50"
    assert kept["fixed", "4"]["below T=inf"] == "1.10 ± 0.10"
    weighed = measured({("fixed", 4): 1.0})
    weighed["fixed", 4] = [numbers | {"iwae": -79.0} for numbers in weighed["fixed", 4]]
    with pytest.raises(UserError, match=r"no column IWAE, nats \(500 images\)"):
        chain_tables.together(there, chain_tables.rows_of(weighed, "500"))


def test_a_page_without_a_table_has_no_rows_and_nothing_to_draw(tmp_path):
    (tmp_path / "page.md").write_text("nothing")
    rows = chain_tables.read(tmp_path / "page.md", MARKS)
    assert rows == {}
    with pytest.raises(UserError, match="none is measured"):
        chain_tables.draw(rows, tmp_path / "x.png")
