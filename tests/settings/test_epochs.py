"""Lengths in epochs: the steps they come to, who wins over whom, and what a run may go on with."""

import pytest

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import naming
from vdp.run import calibration
from vdp.settings import compare, epochs, notes
from vdp.settings.parse import parse, to_json
from vdp.training import first_stage

GIVEN = {
    "train.epochs": "3",
    "train.kl_warmup_epochs": "0.5",
    "optim.warmup_epochs": "0.25",
    "eval.every_epochs": "1",
}


def settings(**changed):
    return config.settings("digits_vae", list((GIVEN | changed).items()))


def test_epochs_become_steps_of_the_training_images():
    resolved = epochs.resolve(settings(), 1280)  # ten batches of 128
    assert resolved.train.steps == 30
    assert resolved.train.epochs == 3.0  # both are recorded
    assert resolved.model["kl_warmup_steps"] == 5
    assert resolved.optim.warmup_steps == 2
    assert resolved.eval.every == 10
    assert epochs.resolve(resolved, 1280) == resolved
    assert parse(to_json(resolved)) == resolved
    assert epochs.resolve(settings(**{"train.batch_size": "64"}), 1280).train.steps == 60
    assert epochs.resolve(settings(**{"train.epochs": "1e-9"}), 1280).train.steps == 1


def test_settings_in_steps_stay_as_they_are():
    plain = config.settings("digits_vae")
    assert epochs.resolve(plain, 1280) is plain


def test_of_steps_and_epochs_the_one_that_is_set_last_counts():
    last = settings(**{"train.steps": "7", "eval.every": "9", "model.kl_warmup_steps": "2"})
    assert last.train.epochs == last.eval.every_epochs == last.train.kl_warmup_epochs == 0
    resolved = epochs.resolve(last, 1280)
    assert (resolved.train.steps, resolved.eval.every) == (7, 9)
    assert resolved.model["kl_warmup_steps"] == 2
    first = config.settings("digits_vae", [("train.steps", "7"), ("train.epochs", "3")])
    assert epochs.resolve(first, 1280).train.steps == 30


def test_a_model_without_a_warm_up_is_told():
    pixel = config.settings("digits_vdm", [("train.kl_warmup_epochs", "1")])
    with pytest.raises(UserError, match=r"train\.kl_warmup_epochs is of models with a KL warm-up"):
        epochs.resolve(pixel, 1280)


def test_a_run_is_evaluated_with_the_flags_that_it_was_trained_with():
    """What a run keeps is what training has made of them."""
    asked = settings(**{"train.init_from": "there", "train.init_parts": "all"})
    run = first_stage.without_warmup(epochs.resolve(asked, 1280))
    assert run.model["kl_warmup_steps"] == 0
    compare.check_same_run(run, asked)
    assert naming.file_name(run, asked) == "eval.json", "the run's own question"
    other = settings(**{"optim.warmup_epochs": "0.5"})
    with pytest.raises(UserError, match=r"optim\.warmup_steps"):
        compare.check_same_run(run, other)


def test_a_run_goes_on_by_the_steps_that_its_epochs_came_to():
    run = epochs.resolve(settings(), 1280)
    compare.check_resumable(run, run.replace(train=dict(epochs=0.0)))
    compare.check_resumable(run, epochs.resolve(settings(**{"train.epochs": "4"}), 1280))
    compare.check_resumable(run, run.replace(train=dict(patience=3)))
    compare.check_resumable(settings(), run)  # of a run that was made of parameters alone
    for field, less in (("train.epochs", "2"), ("train.kl_warmup_epochs", "0.1")):
        other = epochs.resolve(settings(**{field: less}), 1280)
        with pytest.raises(UserError, match=epochs.FIELDS[field].replace(".", r"\.")):
            compare.check_resumable(run, other)


def test_a_run_of_more_epochs_keeps_its_warm_ups():
    """Also where a config's own would follow train.epochs, as those for any images do."""
    own = [("data.name", "synthetic:8x8x1x17")]
    of = lambda *fields: epochs.resolve(config.settings("own_vae", [*own, *fields]), 1280)
    run, longer = of(("train.epochs", "100")), of(("train.epochs", "200"))
    assert longer.model["kl_warmup_steps"] == 2 * run.model["kl_warmup_steps"] > 0
    kept = compare.with_warmups_of(run, longer)
    compare.check_resumable(run, kept)
    assert kept.train.steps == 2 * run.train.steps
    assert kept.model["kl_warmup_steps"] == run.model["kl_warmup_steps"]
    assert kept.optim.warmup_steps == run.optim.warmup_steps
    compare.check_resumable(kept, compare.with_warmups_of(kept, longer))
    for trained, flags in ((run, longer), (kept, longer), (kept, kept)):
        compare.check_same_run(trained, flags)
        assert naming.file_name(trained, flags) == "eval.json"
    given = of(("train.epochs", "200"), ("optim.warmup_epochs", "3"))
    with pytest.raises(UserError, match=r"optim\.warmup_steps"):
        compare.check_resumable(run, compare.with_warmups_of(run, given))


def test_notes_are_said_of_the_fields_that_keep_their_value():
    noted = config.settings("digits_vae").replace(
        notes=("train.batch_size: as it is", "no.such: x")
    )
    assert notes.in_words(noted) == ["train.batch_size=128: as it is"]
    compare.check_resumable(noted, noted.replace(notes=()))


@pytest.mark.parametrize(
    ("variant", "fields", "says"),
    [
        ("", {"train.steps": "2000"}, []),  # of which 1,500 are the KL warm-up, 100 the rate's
        ("", {"train.steps": "1600"}, ["at its end the rate has 1 of its weight"]),
        ("", {"train.steps": "1500"}, ["and has had it for 0 steps"]),
        ("", {"train.steps": "300", "model.kl_warmup_steps": "1200"}, ["the rate has 0.25 of its"]),
        (
            "",
            {"train.steps": "80", "model.kl_warmup_steps": "0"},
            ["rises for 100 steps (optim.warmup_steps), the training has 80: its highest is"],
        ),
        (  # which has no rate whose weight could rise
            ":training=prior",
            {"train.steps": "80", "train.init_from": "there"},
            ["the learning rate rises"],
        ),
    ],
)
def test_a_shortened_training_hears_of_the_warm_ups_that_fill_it(variant, fields, says):
    lines = notes.of_warmups(config.settings(f"digits_vae{variant}", list(fields.items())))
    assert len(lines) == len(says), lines
    for line, words in zip(lines, says, strict=True):
        assert words in line


@pytest.mark.parametrize(
    ("variant", "fields", "says"),
    [
        ("prior=ddpm", [("eval.reverse", "calibrated")], "(T=100, calibrated)"),
        ("prior=ddpm", [("eval.num_steps", "10")], "(T=10, calibrated)"),
        ("prior=ddpm", [("eval.reverse", "fixed")], ""),
        ("prior=vdm", [], ""),
        ("prior=flow", [], ""),
        ("prior=trajectory", [], ""),
    ],
)
def test_validations_of_another_chain_than_the_evaluations_are_named(variant, fields, says):
    settings = config.settings(f"digits_vae:{variant}", fields)
    model = build.model(settings.model, datasets.describe(settings.data))
    lines = notes.of_validations(settings, calibration.own_chain(model))
    assert len(lines) == bool(says)
    assert not says or ("with its own variances (T=100);" in lines[0] and says in lines[0])


def test_a_training_that_ends_on_the_way_of_its_rate_says_so():
    falling = config.settings("digits_vae", [("optim.schedule", "cosine")])
    rate = lambda step: falling.optim.learning_rate * (1 - step / 2000)
    line = notes.of_early_end(falling, 1500, rate)
    assert "after 1,500 of train.steps=2,000, where optim.schedule=cosine is still at 0.25" in line
    assert notes.of_early_end(falling, 2000, rate) == ""
    constant = falling.replace(optim=dict(schedule="constant"))
    assert notes.of_early_end(constant, 1000, rate) == ""


def test_a_batch_of_more_than_all_images_is_said():
    plain = config.settings("digits_vae")
    assert notes.of_batch(plain, 1257) == notes.of_batch(plain, 128) == []
    assert (
        "is more than the 64 training images, so that a step sees each of them 2.0"
        in (notes.of_batch(plain, 64)[0])
    )
