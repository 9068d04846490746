"""Feature functions of one's own for FID: told apart by what they give, and tried before use."""

import types

import numpy as np
import pytest

from vdp.data.core import Info, Split
from vdp.data.datasets import Dataset, Facts
from vdp.errors import Fault, UserError
from vdp.evaluation import features
from vdp.metrics import fid
from vdp.settings import Eval, Settings

IMAGES = np.random.default_rng(0).integers(0, 8, (40, 4, 4, 1)).astype(np.uint8)
SPLITS = dict.fromkeys(("train", "validation", "test"), Split.of(IMAGES))
INFO = Info(name="waves", shape=(4, 4, 1), levels=8)
DATASET = Dataset(facts=Facts(info=INFO, levels=8, input_levels=8), splits=SPLITS)
SETTINGS = Settings(eval=Eval(fid_features="mine_features.make"))


def pixels(images):
    return images.reshape(len(images), -1) / np.float32(7)


@pytest.fixture
def asked(monkeypatch):
    """Features that a module of one's own makes of `levels`."""
    module = types.ModuleType("mine_features")
    monkeypatch.setitem(__import__("sys").modules, "mine_features", module)

    def ask(make):
        module.make = make
        return features.named(SETTINGS, DATASET)

    return ask


def of(apply):
    return lambda levels: fid.Features(name="mine", fingerprint="v1", apply=apply)


def test_another_function_of_the_same_name_has_statistics_of_its_own(asked):
    found = [asked(of(apply)) for apply in (pixels, lambda x: 100 * pixels(x), pixels)]
    assert found[0].fingerprint == found[2].fingerprint != found[1].fingerprint
    first, other = (fid.cached_statistics(f, IMAGES) for f in found[:2])
    np.testing.assert_allclose(other.mean, 100 * first.mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda levels: pixels, "gives function where vdp.metrics.fid.Features"),
        (of(lambda images: pixels(images)[:, 0]), "features [8] for 8 images"),
        (of(lambda images: pixels(images)[:3]), "features [3, 16] for 8 images"),
        (of(lambda images: pixels(images) * np.nan), "not finite"),
    ],
)
def test_what_is_no_features_of_every_image_is_refused(asked, make, says):
    with pytest.raises(UserError) as refused:
        asked(make)
    assert str(refused.value).startswith("eval.fid_features=mine_features.make: ")
    assert says in str(refused.value)


@pytest.mark.parametrize("make", [lambda: None, of(lambda images: images @ "a")])
def test_code_that_fails_is_named(asked, make):
    with pytest.raises(Fault, match=r"^eval\.fid_features=mine_features\.make fails: "):
        asked(make)
