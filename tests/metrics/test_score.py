"""A rate below zero: said of every prior but a probability flow, beyond chance."""

import types

import numpy as np
import pytest

from vdp.metrics import score

RNG = np.random.default_rng(0)


def parts_of(rate, *, num=200):
    rates = rate + RNG.normal(size=num)
    likelihood = RNG.normal(-80.0, 5.0, size=num)
    return {"value": likelihood - rates, "likelihood": likelihood, "kl": -rates}


def model_of(bound_model):
    elbo = lambda *args, **kwargs: None
    fields = dict.fromkeys(("elbo", "init", "draw", "loss"), elbo)
    return types.SimpleNamespace(bound_model=bound_model, discrete=True, **fields)


def test_a_negative_rate_of_an_exact_prior_is_said_with_its_error():
    said = score.negative_rate(model_of("exact"), parts_of(-1.0))
    assert "-0.9" in said
    assert "± 0.07" in said
    assert "--mode=check" in said


def test_a_negative_rate_of_a_diffusion_may_be_its_schedules():
    said = score.negative_rate(model_of("T=inf"), parts_of(-1.0))
    assert "its noise schedule falls" in said
    assert score.negative_rate(model_of("T=inf"), parts_of(2.0)) == ""


@pytest.mark.parametrize(
    ("bound_model", "parts"),
    [
        ("exact", parts_of(2.0)),
        ("exact", parts_of(-0.1)),  # within five errors
        ("ode", parts_of(-1.0)),
        ("exact", {"value": -np.ones(20)}),
        ("exact", parts_of(-9.0, num=1)),
    ],
)
def test_everything_else_passes_in_silence(bound_model, parts):
    assert score.negative_rate(model_of(bound_model), parts) == ""


def test_the_rates_of_a_ladder_hide_no_negative_rate_of_the_prior():
    parts = parts_of(-1.0)
    parts |= {"u_prior": parts.pop("kl"), "z_2": -np.full(200, 30.0), "z_1": -np.full(200, 40.0)}
    parts["value"] = parts["value"] - 70.0
    assert "± 0.0" in score.negative_rate(model_of("exact"), parts)
    del parts["u_prior"]
    assert score.negative_rate(model_of("exact"), parts) == ""
