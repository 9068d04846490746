"""How labels are read off codes: which images are fitted on, and which are scored."""

import jax.numpy as jnp
import numpy as np
import pytest

from vdp.data.core import Info, Split
from vdp.data.datasets import Dataset, Facts
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.evaluation import index, report, representation
from vdp.metrics import probe
from vdp.metrics.batched import Batched
from vdp.run import Code, Run
from vdp.runtime import parallel
from vdp.settings import Settings


class Blind:
    """A model without an encoder."""

    init = draw = loss = lambda *_: None


class Encoder(Blind):
    """Not asked itself."""

    encode = lambda *_: None


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(probe, "STRENGTHS", (0.1, 1.0))
    monkeypatch.setattr(probe, "FOLDS", 2)


class Opened(Run):
    """Its code is the image; a second one is noise. It notes how many images are encoded."""

    def encode_each(self, x):
        seen = self.params
        seen.append(len(x))
        for part in (x[:20], x[20:]):
            noise = np.random.default_rng(len(seen)).normal(size=(len(part), 3))
            of = {"u": part.astype("f"), "z_1": noise.astype("f")}
            yield Code({name: Normal(jnp.array(z), jnp.zeros_like(z)) for name, z in of.items()})


def images(num, seed=0, labelled=True):
    """Images of 2x2 whose brightest pixel is the class."""
    labels = np.random.default_rng(seed).integers(0, 4, num)
    pixels = 200 * np.eye(4, dtype=np.uint8)[labels].reshape(num, 2, 2, 1)
    pixels += np.random.default_rng(seed + 1).integers(0, 40, pixels.shape).astype(np.uint8)
    return Split.of(pixels, labels if labelled else None)


def question(validation=60, labelled=True, **chosen):
    splits = dict(train=images(90, 1, labelled), validation=images(validation, 2), test=images(50))
    facts = Facts(info=Info(name="toy", shape=(2, 2, 1)), levels=256, input_levels=256)
    settings = Settings(model={"name": "toy"}).replace(eval=dict(probe=True, **chosen))
    seen = []
    run = Opened(
        settings=settings,
        trained=settings,
        model=Encoder(),
        params=seen,
        stats={},
        step=5,
        facts=facts,
        batched=Batched(parallel.make_mesh(), 20, 0),
    )
    return run, Dataset(facts=facts, splits=splits), seen


def test_every_latent_is_probed_by_itself():
    run, dataset, seen = question()
    found = representation.measure(run, dataset, dataset.splits["test"])
    assert seen == [90, 50, 60]
    assert (found["num_fitted"], found["num_scored"]) == (90, 50)
    counts = np.bincount(dataset.splits["test"].labels)
    assert found["majority"] == counts.max() / 50
    u, z = found["latents"]
    assert (u["latent"], u["units"], z["latent"], z["units"]) == ("u", 4, "z_1", 3)
    for kind in ("linear", "nearest"):
        assert u[kind]["accuracy"] == 1.0
        assert z[kind]["accuracy"] < 0.6
    assert u["linear"]["chosen_by"] == "validation"
    lines = report._representation(found, "test")
    assert lines[0].startswith("test labels from u: linear probe 100.0 ± 0.0 %, 5 nearest")
    assert len(lines) == 2


def test_images_that_are_scored_decide_nothing():
    run, dataset, seen = question(split="validation")
    found = representation.measure(run, dataset, dataset.splits["validation"])
    assert seen == [90, 60]
    assert found["latents"][0]["linear"]["chosen_by"] == "cross-validation"


def test_what_has_no_answer_is_refused():
    run, dataset, _ = question()
    representation.check(run.settings, run.model, dataset)
    with pytest.raises(UserError, match="has no encoder"):
        representation.check(run.settings, Blind(), dataset)
    with pytest.raises(UserError, match="scored on others"):
        representation.check(run.settings.replace(eval=dict(split="train")), run.model, dataset)
    with pytest.raises(UserError, match="needs labels"):
        representation.check(run.settings, run.model, question(labelled=False)[1])
    off = run.settings.replace(eval=dict(probe=False))
    representation.check(off, Blind(), question(labelled=False)[1])


def test_probes_that_are_not_asked_for_again_stay_with_their_step():
    probes = {"num_fitted": 3, "latents": []}
    before = {"estimators": {}, "fid": None, "representation": probes, "step": 7}
    now = {"estimators": {}, "fid": None, "representation": None, "step": 7}
    kept = index.with_earlier(now, before)
    assert kept["earlier"] == {"representation": {**probes, "step": 7}}
