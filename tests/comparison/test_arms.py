"""Which runs are seeds of one model, and which are models of their own."""

import pytest
from evaluated_runs import make_run

import vdp


def test_the_same_seed_again_is_no_other_seed(tmp_path):
    for place, seed in (("a/run", 0), ("b/run", 0), ("c/run", 1)):
        make_run(tmp_path / place, seed=seed)
    found = vdp.compare([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert [len(arm.runs) for arm in found.arms] == [2, 1]


def test_runs_that_draw_otherwise_are_no_seeds_of_one_model(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seed=1, fields=[("sample.temperature", "0.5")])
    assert len(vdp.compare([tmp_path / "a", tmp_path / "b"]).arms) == 2


def test_one_question_more_makes_a_seed_no_other_model(tmp_path):
    make_run(tmp_path / "a", settings={"eval.probe": True, "eval.ood": ["mnist"]})
    make_run(tmp_path / "b", seed=1)
    make_run(tmp_path / "c", seed=2, settings={"eval.reverse": "fixed"})
    make_run(tmp_path / "d", seed=3, fields=[("eval.num_steps", "4")])
    found = vdp.compare([tmp_path / name for name in "abcd"])
    assert [len(arm.runs) for arm in found.arms] == [2, 1, 1]


def test_samples_of_other_chains_are_told_apart(tmp_path):
    fid = dict(value=9.0, features="some", num_samples=10, reference="train", num_reference=5)
    fid |= dict(real=None, rounding="none")
    make_run(tmp_path / "a", fid=fid | {"sampler": "the prior's own", "chain": "T=4"})
    for name, chain in (("b", {"chain": "T=25"}), ("c", {})):
        sampler = {"sampler": "the prior's own"}
        make_run(tmp_path / name, prior="vdm", fid=fid | sampler | chain)
    notes = lambda other: "".join(vdp.compare([tmp_path / "a", tmp_path / other]).notes)
    assert "chain" in notes("b")
    assert "chain" not in notes("c"), "an older version did not say it"


def test_seeds_of_one_model_are_one_arm(tmp_path):
    for seed in (0, 1, 2):
        make_run(tmp_path / f"prior=normal/seed-{seed}", seed=seed, gain=0.2 * seed)
        make_run(tmp_path / f"prior=vdm/seed-{seed}", prior="vdm", seed=seed, gain=0.2 * seed + 5)
    found = vdp.compare([tmp_path])
    assert [(arm.label, len(arm.runs)) for arm in found.arms] == [
        ("prior=normal", 3),
        ("prior=vdm", 3),
    ]
    (difference,) = found.differences
    assert difference.estimate.over_seeds == pytest.approx(0.2 * (2 / 3) ** 0.5, rel=0.1)
    assert difference.better == "prior=vdm"
    assert found.measures["training, s"]["prior=vdm"].se == pytest.approx(1 / 3**0.5)
    joined = vdp.compare(
        ["+".join(str(tmp_path / f"prior={p}/seed-{s}") for s in (0, 1)) for p in ("normal", "vdm")]
    )
    assert [len(arm.runs) for arm in joined.arms] == [2, 2]
