"""Configs as people write and override them: what is read, and what is refused in a sentence."""

import pytest

from vdp import build, config, variants
from vdp.data import datasets
from vdp.errors import UserError


def test_values_are_read_as_the_type_of_their_field():
    cfg = variants.defaults()
    given = {
        "eval.estimators": "elbo,iwae",
        "optim.learning_rate": "1",
        "train.steps": "2e3",
        "data.verify": "false",
        "data.dir": "3",
        "optim.groups.prior": "0",
        "optim.groups.decoder/net/Dense_0": "2",
    }
    config.override(cfg, list(given.items()))
    assert cfg.eval.estimators == ("elbo", "iwae")
    assert cfg.optim.learning_rate == 1.0
    assert cfg.train.steps == 2000
    assert cfg.data.verify is False
    assert cfg.data.dir == "3"
    assert cfg.optim.groups.prior == 0.0
    assert cfg.optim.groups["decoder/net/Dense_0"] == 2.0
    for text in ("elbo", "('elbo',)", "[elbo]", "elbo,"):
        config.override(cfg, [("eval.estimators", text)])
        assert cfg.eval.estimators == ("elbo",), text


@pytest.mark.parametrize(
    ("text", "overrides", "says"),
    [
        ("data='digits'", [], "data"),
        ("model={}", [("optim.groups.prior", "0.5")], "optim"),
        ("optim=dict(groups=3)", [("optim.groups.prior", "0.5")], r"optim\.groups"),
    ],
)
def test_a_config_without_a_section_is_refused_in_a_sentence(tmp_path, text, overrides, says):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ml_collections import ConfigDict\n"
        f"def get_config(arg=''):\n    return ConfigDict(dict({text})).lock()\n"
    )
    with pytest.raises(UserError, match=says):
        config.settings(str(path), overrides)


@pytest.mark.parametrize(
    ("name", "field", "text", "says"),
    [
        ("digits_dcgan", "model.decoder.channels", "()", "needs one entry or more"),
        ("digits_vdm", "model.prior.denoiser.multipliers", "()", "needs one entry or more"),
        ("digits_vdm", "model.prior.denoiser.width", "1", "must be at least 2"),
        ("digits_dvp", "model.decoder.zero", "foo", "all, last"),
    ],
)
def test_fields_of_networks_are_checked(name, field, text, says):
    settings = config.settings(name, [(field, text)])
    with pytest.raises(UserError, match=says):
        build.model(settings.model, datasets.describe(settings.data))


def test_a_classifier_sees_data_in_any_folder():
    fields = [("data.name", "mnist"), ("data.dir", "/somewhere")]
    assert config.settings("digits_classifier", fields).data.dir == "/somewhere"


def test_a_group_is_added_to_a_config_that_is_locked():
    cfg = variants.defaults().lock()
    config.override(cfg, [("optim.groups.prior", "0.5")])
    assert cfg.optim.groups.prior == 0.5


@pytest.mark.parametrize(
    ("field", "meant"),
    [("model.betta", "model.beta"), ("model.prior.denoiser.widht", "model.prior.denoiser.width")],
)
def test_of_a_component_the_fields_at_their_defaults_are_listed_too(field, meant):
    cfg = config.load("digits_vae")
    with pytest.raises(UserError, match=rf"did you mean {meant}\?.*accepted: .*{meant}"):
        config.override(cfg, [(field, "2")])


def test_a_config_that_cannot_be_read_hides_no_other(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text("def get_config(:")
    (tmp_path / "whole.py").write_text('"""Mine."""')
    monkeypatch.setattr(config, "config_folders", lambda: [tmp_path])
    found = config.summaries()
    assert found["half"].startswith("cannot be read")
    assert found["whole"] == "Mine."


def test_a_length_that_no_number_holds_is_refused(refused, tmp_path):
    for epochs in ("1e306", "1e20"):
        refused(
            "--config=digits_vae:smoke", f"--config.train.epochs={epochs}",
            f"--workdir={tmp_path / 'run'}", says=["config.train.steps must be at most"],
        )  # fmt: skip
