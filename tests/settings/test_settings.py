"""The settings: every field checked once, in one form of message, wherever it comes from."""

import dataclasses
import json
import re

import pytest

from vdp import config, variants
from vdp.accelerators import programs
from vdp.diffusion import chains, samplers
from vdp.errors import UserError
from vdp.evaluation import convergence, estimators
from vdp.models import stages
from vdp.settings import ESTIMATORS, Data, Describe, Eval, Optim, Sample, Settings, Train, compare
from vdp.settings.parse import parse, to_config, to_json
from vdp.training import optim

SECTIONS = [f for f in dataclasses.fields(Settings) if f.name not in ("seed", "notes", "model")]


def test_every_config_starts_from_the_defaults_that_the_sections_declare():
    assert parse(variants.defaults()) == Settings()
    assert to_json(parse(json.loads(json.dumps(to_json(Settings()))))) == to_json(Settings())


@pytest.mark.parametrize("section", SECTIONS, ids=lambda field: field.name)
def test_a_field_of_another_type_is_refused_by_its_name(section):
    for field in dataclasses.fields(section.default_factory):
        wrong = object()
        with pytest.raises(UserError, match=rf"config\.{section.name}\.{field.name}"):
            section.default_factory(**{field.name: wrong})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"train": {"steps": 0}}, r"config\.train\.steps must be at least 1, not 0"),
        ({"train": {"steps": 2.5}}, r"config\.train\.steps needs a value of type int, not 2\.5"),
        ({"train": {"steps": True}}, r"config\.train\.steps needs a value of type int"),
        ({"train": {"seconds": float("nan")}}, r"config\.train\.seconds needs .* float"),
        ({"train": {"ema_decay": 1.0}}, r"config\.train\.ema_decay must lie in \[0, 1\)"),
        ({"sample": {"eta": 1.5}}, r"config\.sample\.eta must lie in \[0, 1\], not 1\.5"),
        ({"optim": {"name": "adm"}}, r"unknown config\.optim\.name 'adm' \(did you mean adam\?\)"),
        ({"optim": {"groups": {"prior": "x"}}}, r"config\.optim\.groups\.prior needs .* float"),
        ({"eval": {"split": "val"}}, r"split 'val' \(did you mean validation\?\)"),
        ({"eval": {"estimators": ["elbow"]}}, r"entry of config\.eval\.estimators 'elbow'.*elbo\?"),
        ({"data": {"augmentation": "flop"}}, r"config\.data\.augmentation 'flop'.*flip"),
        ({"trian": {"steps": 3}}, r"unknown config field 'trian' \(did you mean train\?\)"),
        ({"train": {"stps": 3}}, r"'train\.stps' \(did you mean train\.steps\?\); accepted: train"),
        ({"train": {"learning_rate": 3}}, r"did you mean optim\.learning_rate\?"),
        ({"train": 3}, r"config\.train holds fields"),
        ({"optim": {"name": "adam", "weight_decay": 0.1}}, r"decoupled: choose optim\.name=adamw"),
        ({"eval": {"fid_features": "incption:x"}}, r"config\.eval\.fid_features 'incption:x'"),
        ({"eval": {"fid_features": "inception"}}, r"inception:FILE"),
        ({"model": {"name": "vae", "training": "prior"}}, r"train\.init_from"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, says):
    with pytest.raises(UserError, match=says):
        parse(given)


def test_values_become_the_type_of_their_field():
    read = parse(
        {
            "train": {"seconds": 3, "steps": 2e3},
            "eval": {"estimators": ["iwae"]},
            "sample": {"z_temperature": [1, 0.5]},
        }
    )
    assert (read.train.seconds, read.train.steps) == (3.0, 2000)
    assert isinstance(read.train.seconds, float)
    assert isinstance(read.train.steps, int)
    assert read.eval.estimators == ("iwae",)
    assert read.sample.z_temperature == (1.0, 0.5)


def test_a_run_of_an_older_version_has_the_defaults_of_newer_fields():
    stored = to_json(Settings())
    del stored["log"]["profile_steps"], stored["sample"]["z_temperature"]
    assert parse(stored) == Settings()
    compare.check_resumable(parse(stored), Settings())


def test_names_that_settings_accept_are_those_that_exist():
    names = lambda cls, field: re.findall(r"\w+", str(_choices(cls, field)))
    assert set(_choices(Optim, "name")) == set(optim.SCALINGS)
    assert set(ESTIMATORS) == set(estimators.ESTIMATORS)
    assert set(_choices(Eval, "estimators")) == {*ESTIMATORS, "fid"}
    assert names(Data, "placement") == ["auto", "device", "host"]
    for sampler in samplers.NAMES:
        samplers.check(**Sample(sampler=sampler).options())
    assert {*chains.FITTED, "fixed"} == set(_choices(Eval, "reverse"))
    assert list(convergence.CONVERGENCE) == list(_choices(Eval, "convergence"))
    assert list(programs.PROGRAMS) == list(_choices(Describe, "programs"))
    assert variants.TRAINING == stages.TRAINING


def _choices(section, field):
    import typing

    hints = typing.get_type_hints(section, include_extras=True)
    return typing.get_args(hints[field])[1].accepted


def test_a_section_made_in_python_is_checked_as_well():
    with pytest.raises(UserError, match="at least 1"):
        Train(steps=0)
    settings = Settings()
    with pytest.raises(UserError, match=r"eval\.iwae_samples"):
        settings.replace(eval=dict(iwae_samples=0))
    changed = settings.replace(eval=dict(iwae_samples=3), seed=7)
    assert (changed.eval.iwae_samples, changed.seed, changed.eval.split) == (3, 7, "test")
    assert settings.eval.iwae_samples == 64


def test_overrides_reach_the_settings_and_are_checked_before_anything_is_built(refused, tmp_path):
    chosen = config.settings("digits_vae:smoke", [("model.prior.num_steps", "7")])
    assert chosen.model["prior"]["num_steps"] == 7
    assert to_config(chosen).model.prior.num_steps == 7
    flags = ("--config.train.ema_decay=2", f"--workdir={tmp_path / 'run'}")
    refused("--config=mnist_vae", *flags, says=["config.train.ema_decay"])  # no data is there
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("folder:/data/cats (1)", ("folder:/data/cats (1)",)),
        ("(mnist, npz:a.npz)", ("mnist", "npz:a.npz")),
        ("[mnist]", ("mnist",)),
        ("mnist,digits", ("mnist", "digits")),
        ("()", ()),
    ],
)
def test_names_in_a_list_keep_their_brackets(text, expected):
    assert config.settings("digits_vae", [("eval.ood", text)]).eval.ood == expected
