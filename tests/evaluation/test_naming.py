"""Whether a result that is there answers what is asked."""

import json

import pytest

from vdp import config
from vdp.evaluation import naming

BASE = config.settings("digits_vae").replace(
    eval=dict(estimators=("elbo", "iwae"), iwae_samples=8, max_examples=100)
)


@pytest.mark.parametrize(
    ("fields", "answered"),
    [
        (dict(), True),
        (dict(iwae_samples=4), True),
        (dict(iwae_samples=16), False),
        (dict(estimators=("iwae",)), True),
        (dict(estimators=("elbo", "iwae", "elbo_discrete")), False),
        (dict(max_examples=50), True),
        (dict(max_examples=0), False),
        (dict(seed=3), False),
        (dict(refine_steps=7), False),
        (dict(reverse="fixed"), False),
        (dict(probe=True), False),
        (dict(ood=("mnist",)), False),
        (dict(every=7), True),
    ],
)
def test_more_or_something_else_is_not_answered(fields, answered):
    result = json.loads(json.dumps({"question": naming.question(BASE)}))
    assert naming.answered(result, BASE.replace(eval=fields)) is answered


def test_fields_that_a_result_did_not_know_yet_are_as_they_were():
    asked = naming.question(BASE)
    del asked["refine_steps"], asked["refine_rate"]
    assert naming.answered({"question": asked}, BASE)


def test_another_sampler_is_not_answered_and_a_result_without_a_question_is():
    result = {"question": naming.question(BASE)}
    assert not naming.answered(result, BASE.replace(sample=dict(temperature=0.5)))
    assert naming.answered({}, BASE.replace(eval=dict(iwae_samples=99)))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"step": 10}, False),
        ({"weights": "bb"}, False),
        ({"components": "code"}, False),
        ({"edited_sources": ["laplace.py"]}, False),
    ],
)
def test_a_result_is_of_parameters_and_components_and_not_of_a_step(other, same):
    result = {"step": 20, "weights": "aa", "components": ""}
    assert naming.is_of(result | other, 20, "aa", "") is same
    assert naming.is_of({"step": 20}, 20, "aa", ""), "of version 0.1"
