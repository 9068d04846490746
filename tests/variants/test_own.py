"""Configs for any images: what is chosen for which, and that it can be built and overridden."""

import numpy as np
import pytest

from vdp import build, config, variants
from vdp.data import datasets
from vdp.errors import UserError
from vdp.modes import describe
from vdp.settings import notes

CONFIGS = ("own_vae", "own_dvp", "own_vdm")


def facts(shape, *, levels=256, images=2000, validation=0):
    return variants.Facts(
        shape=shape, levels=levels, images=images, validation=validation, mean=0.3, std=0.2
    )


def chosen(name, shape, *overrides):
    data = ("data.name", f"synthetic:{shape}")
    return config.settings(name, [data, *overrides])


@pytest.mark.parametrize("shape", ["8x8x1x17", "28x20x1", "7x9x1x2", "32x32x3"])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_chosen_can_be_built(name, shape):
    if name == "own_dvp" and shape.startswith("7x9"):
        with pytest.raises(UserError, match=r"data\.resize=8x8"):
            chosen(name, shape)
        return
    settings = chosen(f"{name}:smoke", shape)
    build.model(settings.model, datasets.describe(settings.data))
    binary = shape.endswith("x2")
    assert (settings.model["likelihood"]["name"] == "bernoulli") == (binary and name != "own_vdm")


def test_sizes_follow_the_images():
    vae = lambda *args, **kw: variants.own_vae("", facts(*args, **kw))
    channels = [len(vae((s, s, 1)).model.encoder.channels) for s in (2, 8, 28, 32, 64, 500)]
    assert channels == [1, 1, 2, 3, 4, 5]
    assert vae((28, 28, 1)).model.latent_shape == (32,)
    assert vae((28, 28, 1)).model.encoder.channels == (32, 64)  # as of mnist_vae
    assert vae((32, 32, 3)).model.encoder.channels == (64, 128, 256)  # as of cifar10_vae
    sizes = {n: vae((8, 8, 1), images=n).train.batch_size for n in (10, 1000, 3000, 10**6)}
    assert sizes == {10: 16, 1000: 32, 3000: 128, 10**6: 128}
    few, many = vae((8, 8, 1), images=100).train, vae((8, 8, 1), images=10**6).train
    assert (few.epochs, many.epochs) == (500, 20)


@pytest.mark.parametrize("name", CONFIGS)
def test_very_few_images_are_enough_or_refused(name, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (17, 8, 8), dtype=np.uint8)
    data = [("data.name", f"npz:{tmp_path / 'mine.npz'}")]
    np.savez(tmp_path / "mine.npz", train_images=images[:2], test_images=images)
    settings = config.settings(name, data)
    assert settings.data.num_validation == 1
    np.savez(tmp_path / "mine.npz", train_images=images[:1], test_images=images)
    with pytest.raises(UserError, match="needs two training images"):
        config.settings(name, data)


def test_scales_divide_the_images():
    dvp = lambda *shape: [s[0] for s in variants.own_dvp("", facts(shape)).model.scales]
    assert dvp(28, 28, 1) == [14, 7]
    assert dvp(28, 20, 1) == [14, 7]
    assert dvp(64, 64, 3) == [32, 16, 8, 4]
    assert dvp(128, 128, 3) == [32, 16, 8, 4]
    assert dvp(8, 8, 1) == [4, 2]
    assert dvp(30, 30, 1) == [15, 5]


def test_validation_is_cut_off_only_where_there_is_none():
    own = lambda **kw: variants.own_vae("", facts((8, 8, 1), **kw)).data.num_validation
    assert own() == 200
    assert own(images=10**6) == 5000
    assert own(validation=30) == 0


def test_the_encoder_of_a_hierarchy_sees_standardised_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (400, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", train_images=images, test_images=images[:10] * 0 + 255)
    settings = config.settings("own_dvp", [("data.name", f"npz:{tmp_path / 'mine.npz'}")])
    assert settings.model["input_mean"] == round(images.mean() / 255, 4)  # not of test
    assert settings.model["input_std"] == round(images.std() / 255, 4)
    assert settings.data.num_validation == 40


def test_overrides_come_last_and_take_their_note_along():
    plain = chosen("own_vae", "8x8x1x17")
    given = chosen("own_vae", "8x8x1x17", ("train.batch_size", "50"), ("train.steps", "9"))
    assert (given.train.batch_size, given.train.steps, given.train.epochs) == (50, 9, 0)
    said = lambda settings: {line.partition("=")[0] for line in notes.in_words(settings)}
    assert said(plain) - said(given) == {"train.batch_size", "train.epochs"}  # no note on 0 epochs
    assert len(said(plain)) == len(plain.notes) > 5
    smaller = chosen("own_vae", "8x8x1x17", ("data.resize", "4x4"))
    assert len(smaller.model["encoder"]["channels"]) == 1


def test_other_epochs_keep_the_proportions_that_were_chosen():
    plain = chosen("own_vae", "8x8x1x17")
    shorter = chosen("own_vae", "8x8x1x17", ("train.epochs", "30"), ("optim.warmup_steps", "7"))
    factor = 30 / plain.train.epochs
    assert factor != 1
    assert shorter.train.kl_warmup_epochs == pytest.approx(factor * plain.train.kl_warmup_epochs)
    assert shorter.eval.every_epochs == pytest.approx(factor * plain.eval.every_epochs)
    assert (shorter.optim.warmup_epochs, shorter.optim.warmup_steps) == (0, 7)
    assert "eval.every_epochs: in proportion to train.epochs" in shorter.notes


def test_images_have_to_be_named(refused):
    for name in CONFIGS:
        refused(f"--config={name}", "--mode=describe", says=["--config.data.name=folder:PATH"])


def test_epochs_are_described_in_steps():
    found = describe.describe(chosen("own_vae:smoke", "8x8x1x17", ("train.epochs", "2")))
    assert found["data"]["counts"] == {"train": 1984, "validation": 64, "test": 512}
    assert found["config"]["train"]["steps"] == 248
    assert "248 steps of 16 images, 2 epochs" in describe.table(found)
