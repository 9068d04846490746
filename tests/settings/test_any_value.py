"""Whatever stands in a config is taken or refused in one sentence: never another exception."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import config_dict

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.settings import Settings
from vdp.settings.parse import parse, to_json

pytestmark = pytest.mark.slow
SECTIONS = [field.name for field in dataclasses.fields(Settings)]
FIELDS = ["seed", "notes", "model"] + [
    f"{section}.{field.name}"
    for section in SECTIONS
    if section not in ("seed", "notes", "model")
    for field in dataclasses.fields(getattr(Settings(), section))
]
EXTREMES = st.sampled_from(
    [0, -1, 1, 2**31, 2**32, 2**63, 2**64, 10**400, 1e11, 1e30, 0.5, -0.1, 1.5, float("inf")]
    + [float("nan"), -0.0, 1j, "", "\0", "\ud800", "\uff11", ".make", "..make", "math.pi"]
    + ["vdp.nets", (), [], {}, set(), {1: 2}, b"", range(3), object(), len, ValueError()]
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4)
)
VALUES = st.one_of(
    EXTREMES,
    PLAIN,
    st.lists(PLAIN, max_size=3),
    st.tuples(PLAIN, PLAIN),
    st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), PLAIN, max_size=2),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["nan", "1e999", "-1", "1e30", "None", "((((", "{[]: 1}", "1_0", "9" * 5000]),
    PLAIN.map(repr),
)
TRIES = settings(max_examples=30, deadline=None)
WHOLE = config.load("digits_vae:smoke")


def taken_or_refused(make):
    """What `make` gives, or None where it refuses, which it has to do in one short line."""
    try:
        return make()
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000
    return None


@pytest.mark.parametrize("field", FIELDS)
@TRIES
@given(value=VALUES)
def test_any_value_of_a_field(field, value):
    section, _, name = field.partition(".")
    given = {section: {name: value} if name else value}
    result = taken_or_refused(lambda: parse(given))
    if result is not None:
        assert parse(to_json(result)) == result, "what config.json holds is the same again"


@pytest.mark.parametrize("section", SECTIONS)
@TRIES
@given(value=VALUES)
def test_any_value_in_place_of_a_section(section, value):
    taken_or_refused(lambda: parse({section: value}))
    plain = config_dict.ConfigDict()
    try:
        plain[section] = value
    except Exception:  # what ml_collections itself does not take
        return
    taken_or_refused(lambda: parse(plain))


@TRIES
@given(value=VALUES)
def test_any_value_in_place_of_a_config(value):
    taken_or_refused(lambda: parse(value))


@pytest.mark.parametrize("field", FIELDS)
@TRIES
@given(text=TEXTS)
def test_any_text_of_an_override(field, text):
    chosen = config_dict.ConfigDict(WHOLE)

    def overridden():
        config.override(chosen, [(field, text)])
        return parse(chosen)

    taken_or_refused(overridden)


def component_fields(spec, path=()):
    """Paths of all fields of a model's spec, those inside its components included."""
    for key, value in spec.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from component_fields(value, (*path, key))


MODELS = {
    name: config.settings(f"{name}:smoke")
    for name in ("digits_vae", "digits_dvp", "digits_ae", "digits_vdm")
}
PLACES = [(name, path) for name, s in MODELS.items() for path in component_fields(s.model)]


@pytest.mark.parametrize(
    ("name", "path"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(part)
)
@TRIES
@given(value=VALUES)
def test_any_value_of_a_field_of_a_component(name, path, value):
    chosen = MODELS[name]
    facts = datasets.describe(chosen.data)
    given = to_json(chosen)
    node = given["model"]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    taken_or_refused(lambda: build.assemble(parse(given).model, facts))
