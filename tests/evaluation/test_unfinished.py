"""An evaluation that was stopped goes on where it was, and gives the same numbers."""

import collections
import dataclasses
import itertools
import shutil

import jax
import numpy as np
import pytest

import vdp
from vdp import run as runs
from vdp.data import datasets
from vdp.evaluation import resume, samples
from vdp.metrics import fid, likelihood, score
from vdp.metrics.batched import Batched
from vdp.modes import evaluate
from vdp.record import read_run
from vdp.runtime import sources

ELBO, IWAE = score.flat_terms, likelihood.iwae_terms

PIXELS = fid.Features(
    name="pixels",
    fingerprint="pixels",
    apply=lambda images: images.reshape(len(images), -1)[:, 20:30].astype(np.float64),
)


class Stopped(Exception):
    pass


@pytest.fixture
def evaluation(copied_run, monkeypatch):
    """Runs an evaluation of all 360 test images in 12 batches; returns (result, batches computed).

    With `after`, it is stopped when so many batches of the estimators are done.
    """
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    original = Batched.compiled

    def run(after=None, **settings):
        computed = collections.Counter()

        def counted(self, function, model, **options):
            compiled = original(self, function, model, **options)

            def call(*arguments):
                if computed.total() == after:
                    raise Stopped
                computed[function] += 1
                return compiled(*arguments)

            return call

        monkeypatch.setattr(Batched, "compiled", counted)
        record = read_run(copied_run)
        fields = dict(max_examples=0, estimators=("elbo", "iwae"), **settings)
        chosen = record.settings.replace(eval=fields)
        opened = runs.restore(chosen, record, "best")
        result, _ = evaluate.evaluate(opened, copied_run, datasets.load(chosen.data))
        for entry in filter(None, result["estimators"].values()):
            entry.pop("seconds")
        return result, computed

    return run


def test_batches_that_are_done_are_not_computed_again(evaluation, copied_run):
    whole, computed = evaluation()
    assert (computed[ELBO], computed[IWAE]) == (12, 12)
    assert not (copied_run / "unfinished").exists()
    with pytest.raises(Stopped):
        evaluation(after=17)
    with pytest.raises(Stopped):
        evaluation(after=2)
    result, computed = evaluation()
    assert (computed[ELBO], computed[IWAE]) == (0, 12 - 5 - 2)
    assert result == whole
    assert not (copied_run / "unfinished").exists()


@pytest.mark.slow
def test_other_settings_begin_anew(evaluation, copied_run):
    with pytest.raises(Stopped):
        evaluation(after=3)
    other, computed = evaluation(seed=5)
    assert computed[ELBO] == 12
    assert [path.name for path in (copied_run / "unfinished").rglob("*.npz")]
    result, computed = evaluation()
    assert computed[ELBO] == 9
    assert result["estimators"]["elbo"] != other["estimators"]["elbo"]
    assert not (copied_run / "unfinished").exists()


def test_the_next_checkpoint_and_other_code_begin_anew(smoke_run, tmp_path, monkeypatch):
    run = vdp.load(smoke_run)
    arrays = run.arrays(run.images()[:3])
    kept = lambda run, arrays=arrays: resume.Unfinished(run, tmp_path, arrays).rows("elbo")
    kept(run)._write(0, {"value": np.ones(3)}, 1.0)
    assert len(kept(run).read()["value"]) == 3
    assert kept(run, run.arrays(run.images()[1:4])).read() == {}, "of other images"
    params = {name: dict(leaves) for name, leaves in run.params.items()}
    other = dataclasses.replace(run, params=params | {"decoder": params["encoder"]})
    assert kept(other).read() == {}
    monkeypatch.setattr(sources, "in_use", lambda spec: "of a prior that was mended")
    assert kept(run).read() == {}


def test_samples_say_of_which_chain_they_are(smoke_run):
    model = runs.load(smoke_run).model
    assert samples._chain(model, {}) == {"chain": model.weight_model}
    of_two = samples._chain(model, {"sampler_steps": 2})["chain"]
    assert of_two == model.weight_model.replace(f"T={model.prior.num_steps}", "T=2")
    for options in (dict(sampler="ddim"), dict(clip=1.0), dict(temperature=0.5), dict(eta=1.0)):
        assert samples._chain(model, options) == {}, "no bound is of these"


def test_samples_that_are_drawn_are_not_drawn_again(smoke_run, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    record = read_run(smoke_run)
    chosen = record.settings.replace(eval=dict(fid_samples=100))
    run, dataset = runs.restore(chosen, record, "best"), datasets.load(chosen.data)
    original, drawn, key = runs.Run.sample, [], jax.random.key(chosen.eval.seed)
    chunks = [bytes(jax.random.key_data(jax.random.fold_in(key, index))) for index in range(4)]

    def judged(folder, stop=None):
        def sample(self, num, *, seed, **options):
            if len(drawn) == stop:
                raise Stopped
            drawn.append(chunks.index(bytes(jax.random.key_data(seed))))
            return original(self, num, seed=seed, **options)

        drawn.clear()
        monkeypatch.setattr(runs.Run, "sample", sample)
        made = samples.draw(run, resume.Rows(folder))
        found = samples.judged(run, dataset, PIXELS, made, PIXELS.apply(made.images))
        return found, found.pop("sampling")

    whole, timing = judged(tmp_path / "whole")
    assert drawn == [0, 1, 2, 3]
    assert timing["seconds"] > 0
    with pytest.raises(Stopped):
        judged(tmp_path / "cut", stop=2)
    result, timing = judged(tmp_path / "cut")
    assert drawn == [2, 3]
    assert result == whole
    assert timing["seconds"] > 0
    assert judged(tmp_path / "cut")[0] == whole
    assert drawn == []


def rows(folder, *starts):
    kept = resume.Rows(folder)
    for start, end in itertools.pairwise(starts):
        kept._write(start, {"value": np.arange(start, end)}, 2.0)


def test_processes_go_on_from_what_all_of_them_have(tmp_path, monkeypatch):
    rows(tmp_path, 0, 4, 8, 12)
    monkeypatch.setattr(resume.parallel, "least", lambda number: min(number, 6))
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    kept = resume.Rows(tmp_path)
    assert kept.read()["value"].tolist() == list(range(6))
    assert kept.seconds == 6.0
    kept.add({"value": np.arange(6, 9)})
    monkeypatch.undo()
    assert resume.Rows(tmp_path).read()["value"].tolist() == list(range(9))


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"PK\3\4")])
def test_what_is_damaged_is_computed_again(tmp_path, damage):
    rows(tmp_path, 0, 4, 8, 12)
    damage(tmp_path / "4.npz")
    assert resume.Rows(tmp_path).read()["value"].tolist() == [0, 1, 2, 3]
    shutil.rmtree(tmp_path)
    assert resume.Rows(tmp_path).read() == {}
