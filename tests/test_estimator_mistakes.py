"""The table of mistaken estimators: its signs at a small size, and its place in the docs."""

import jax
import numpy as np
import pytest
from starting import started

from benchmarks import estimator_mistakes as mistakes
from benchmarks import linear_gaussian
from benchmarks.pages import write_table
from vdp.metrics.convergence import difference

NUM, SAMPLES = 24, 64
ROWS = list(mistakes.estimators())
FEW = [ROWS[index] for index in (0, 2, 4, 5)]  # compiling the others takes long


def errors(rows):
    """{(estimator, mistake, model): the paired error of its mean}."""
    batch = linear_gaussian.images(NUM)
    return {
        (row.estimator, row.mistake, row.tag): difference(
            row.values(batch, SAMPLES), linear_gaussian.exact(batch, row.tag)
        )
        for row in rows
    }


@pytest.mark.parametrize("rows", [FEW, pytest.param(ROWS, marks=pytest.mark.slow)])
def test_right_estimates_lie_below_the_truth_and_mistakes_lift_them_above(rows):
    for (estimator, mistake, tag), error in errors(rows).items():
        name = f"{estimator} {mistake} {tag}: {error}"
        if mistake == mistakes.NONE:
            assert -5.0 < error["mean"] < 2 * error["se"], name
        elif "100 points" not in mistake:  # which is too fine a sum for the slack of q
            assert error["mean"] > 2 * error["se"], name


def test_the_chains_exact_density_is_that_of_many_of_its_samples():
    """Variances of y_0 by recursion are those of an ancestral sample in the oracle's own basis."""
    model = linear_gaussian.cases()[1].model
    prior, draws = model.prior, 4000
    params, _ = started(prior, jax.random.key(0), (linear_gaussian.DIMS,))
    how = dict(z_shape=(linear_gaussian.DIMS,), sampler_steps=5)
    z = np.asarray(prior.sample(params, {}, jax.random.key(1), draws, **how))
    found = (z @ linear_gaussian.ROTATION).var(0)
    expected = linear_gaussian.variance("T=5")
    np.testing.assert_allclose(found, expected, rtol=5 * (2 / draws) ** 0.5)


def test_the_page_holds_a_table_that_the_script_wrote(tmp_path):
    text = mistakes.PAGE.read_text()
    start, end = mistakes.MARKS
    table = text.partition(start)[2].partition(end)[0]
    header = f"| {' | '.join(mistakes.COLUMNS)} |"
    assert header in table
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    named = [(row.estimator, row.mistake, row.tag) for row in ROWS]
    listed = [line.strip("| ").split(" | ")[:3] for line in rows]
    assert [(e.strip("`"), m, t.strip("`")) for e, m, t in listed] == named
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{start}\nold\n{end}\n\nafter\n")
    write_table("new \\1", page, mistakes.MARKS)
    assert page.read_text() == f"before\n\n{start}\nnew \\1\n{end}\n\nafter\n"
