"""Frechet distances against known Gaussians, the cache, and the embedded features."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from checkout import ROOT
from scipy import linalg

import vdp
from vdp import config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import classifier, features
from vdp.metrics import fid
from vdp.record import read_run


def stats_of(mean, covariance, num=100):
    return fid.Statistics(mean=np.asarray(mean), covariance=np.asarray(covariance), num=num)


def random_covariance(dims, rank, seed):
    factor = np.random.default_rng(seed).normal(size=(dims, rank))
    return factor @ factor.T / rank


def test_distance_of_known_gaussians():
    """Diagonal: |m|^2 + sum (s_a - s_b)^2; a shared rotation changes nothing."""
    s_a, s_b, mean = np.array([1.0, 2.0, 0.5]), np.array([1.5, 0.2, 0.5]), np.array([1.0, 0, -2])
    exact = mean @ mean + np.sum((s_a - s_b) ** 2)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for r in (np.eye(3), rotation):
        a = stats_of(np.zeros(3), r @ np.diag(s_a**2) @ r.T)
        b = stats_of(r @ mean, r @ np.diag(s_b**2) @ r.T)
        assert fid.frechet_distance(a, b) == pytest.approx(exact, rel=1e-9)
        assert fid.frechet_distance(b, a) == pytest.approx(exact, rel=1e-9)


def test_distance_is_that_of_the_matrix_square_root():
    a, b = random_covariance(6, 20, 1), random_covariance(6, 20, 2)
    root = linalg.sqrtm(a @ b).real
    exact = np.trace(a + b - 2 * root)
    found = fid.frechet_distance(stats_of(np.zeros(6), a), stats_of(np.zeros(6), b))
    assert found == pytest.approx(exact, rel=1e-8)


def test_singular_covariances_stay_real_and_zero_against_themselves():
    a = stats_of(np.ones(40), random_covariance(40, 5, 3))
    assert fid.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    b = stats_of(np.ones(40), random_covariance(40, 3, 4))
    assert fid.frechet_distance(a, b) > 0


def test_statistics_are_the_unbiased_ones():
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    found = fid.statistics(x)
    np.testing.assert_allclose(found.mean, x.astype(np.float64).mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(x.astype(np.float64).T), rtol=1e-6)


def test_reference_statistics_are_computed_once_per_images_and_features(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def apply(images):
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float64)

    images = np.random.default_rng(0).integers(0, 9, size=(20, 2, 2, 1)).astype(np.uint8)
    features = fid.Features(name="pixels", fingerprint="1", apply=apply)
    first, again = (fid.cached_statistics(features, images) for _ in range(2))
    np.testing.assert_array_equal(first.covariance, again.covariance)
    assert (calls, again.num) == ([20], 20)
    fid.cached_statistics(features, images + 1)
    fid.cached_statistics(fid.Features(name="pixels", fingerprint="2", apply=apply), images)
    assert len(calls) == 3
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(b"cut")
    np.testing.assert_array_equal(fid.cached_statistics(features, images).mean, first.mean)
    assert len(calls) == 4


@pytest.fixture(scope="module")
def classifier_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("classifier") / "run"
    short = ["--config.train.steps=200", "--config.eval.every=200"]
    command = [sys.executable, "-m", "vdp.main", "--config=digits_classifier", *short]
    # with XLA's optimiser: convolutions are worth its compile time here
    environment = {**os.environ, "XLA_FLAGS": ""}
    subprocess.run([*command, f"--workdir={workdir}"], env=environment, cwd=ROOT, check=True)
    return workdir


def test_the_classifier_is_a_run_like_any_other(classifier_run):
    found = json.loads((classifier_run / "eval.json").read_text())
    assert found["accuracy"] > 0.95
    assert -0.3 < found["score"]["mean"] < 0  # log-probability of the label, nats
    assert set(found["estimators"].values()) == {None}
    assert found["fid"] is found["mse"] is None


def test_a_classifier_is_scored_by_classes_that_are_given(classifier_run):
    import vdp
    from vdp.errors import UserError

    run = vdp.load(classifier_run)
    images, labels = run.images(), run.labels()
    found = json.loads((classifier_run / "eval.json").read_text())["score"]["mean"]
    assert run.elbo(images, labels=labels).value.mean() == pytest.approx(found, abs=1e-4)
    some = labels.copy()
    some[::2] = -1
    each = run.elbo(images, labels=some).value
    np.testing.assert_array_equal(np.isnan(each), some < 0)
    wrong = [None, labels[:-1], labels.astype(float), labels + 1, labels - 2]
    for given in wrong:
        with pytest.raises(UserError, match="labels"):
            run.elbo(images, labels=given)


def test_fid_of_a_split_against_itself_and_against_noise(classifier_run):
    import vdp
    from vdp.evaluation import features

    run = vdp.load(classifier_run)
    space = features.of_classifier(run, 17)
    train, test = (run.images(split) for split in ("train", "test"))
    of = lambda images: fid.statistics(space.apply(images))
    assert space.name.startswith("classifier of digits, trained by vdp, weights ")
    assert space.name.endswith(space.fingerprint[:12]), "another classifier has another name"
    assert fid.frechet_distance(of(train), of(train)) == pytest.approx(0.0, abs=1e-4)
    real = fid.frechet_distance(of(test), of(train))
    noise = np.random.default_rng(0).integers(0, 17, size=test.shape).astype(np.uint8)
    blurred = (test // 2 + np.roll(test, 1, axis=2) // 2).astype(np.uint8)
    far, between = (fid.frechet_distance(of(x), of(train)) for x in (noise, blurred))
    assert 0 < real < between < far
    assert far > 5 * real


def test_cached_classifiers_keep_their_names_across_versions():
    """A new field of a config changes none of them: it belongs in `classifier.LATER`."""
    from vdp import config, variants
    from vdp.data import datasets
    from vdp.evaluation import classifier
    from vdp.settings.parse import parse, to_config

    settings = config.settings("digits_vae")
    chosen = parse(variants.classifier(to_config(settings).data))
    images = datasets.load(settings.data).splits["train"]
    assert classifier._name(chosen, images, 17) == "digits-d7f7160bac407b11"


def test_the_same_pixels_of_other_levels_are_other_images(classifier_run, monkeypatch):
    """Of 17 levels, or of 256, as where an archive says so or not."""
    run = vdp.load(classifier_run)
    dataset = datasets.load(run.settings.data)
    info = dataclasses.replace(dataset.facts.info, levels=256)
    dark = dataclasses.replace(dataset, facts=dataclasses.replace(dataset.facts, info=info))
    asked = run.settings.replace(eval=dict(fid_features="classifier"))
    monkeypatch.setattr(classifier, "trained", lambda settings, dataset: run)
    of = [features.named(asked, images) for images in (dataset, dark)]
    assert of[0].name == of[1].name
    assert of[0].fingerprint != of[1].fingerprint
    own = asked.replace(data=dict(name="npz:mine.npz"))
    names = {classifier._name(own, dataset.splits["train"], levels) for levels in (17, 100, 256)}
    assert len(names) == 3
    assert len({classifier._name(asked, dataset.splits["train"], n) for n in (17, 100)}) == 1


def test_a_cache_that_cannot_keep_the_classifier_is_said_before_training(
    refused, cli, copied_run, monkeypatch, tmp_path
):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = f"--workdir={tmp_path / 'new'}"
    asked = ("--config=digits_vae:smoke", "--config.eval.estimators=elbo,fid", place)
    refused(*asked, says=["XDG_CACHE_HOME", str(tmp_path / "cache")])
    assert not (tmp_path / "new").exists()
    found = json.loads((copied_run / "eval.json").read_text())
    found["question"]["estimators"] = ["elbo", "fid"]
    (copied_run / "eval.json").write_text(json.dumps(found))
    code, _, err = cli(*asked[:2], f"--workdir={copied_run}")
    assert (code, "nothing left to do" in err) == (0, True), "a finished run needs none"


@pytest.mark.slow
def test_a_cached_classifier_of_another_layout_is_trained_anew(copied_run, monkeypatch, tmp_path):
    import vdp
    from vdp import variants
    from vdp.data import datasets
    from vdp.evaluation import classifier

    def in_few_steps(data, whole=variants.classifier):
        config = whole(data)
        config.train.steps = config.eval.every = 4
        return config

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(variants, "classifier", in_few_steps)
    run = vdp.load(copied_run)
    dataset = datasets.load(run.settings.data)
    trained = classifier.trained(run.settings, dataset)
    (folder,) = (tmp_path / "vdp" / "classifiers").iterdir()
    config = json.loads((folder / "config.json").read_text())
    config["config"]["model"]["net"]["hidden"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="other parameters"):
        vdp.load(folder)
    for _ in range(2):
        again = classifier.trained(run.settings, dataset)
        jax.tree.map(np.testing.assert_array_equal, again.params, trained.params)
    assert vdp.load(folder).step == 4


def test_fid_stands_in_eval_json_with_all_that_belongs_to_it(
    cli, refused, copied_run, classifier_run, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = (
        "--mode=eval", f"--workdir={copied_run}", "--config.eval.estimators=elbo,fid",
        f"--config.eval.fid_features=classifier:{classifier_run}", "--config.eval.fid_samples=50",
    )  # fmt: skip
    code, out, err = cli(*arguments)
    assert code == 0, err
    assert "FID" in out
    assert "classifier of digits" in out
    (path,) = copied_run.glob("eval-best-test-other-*.json")
    found = json.loads(path.read_text())
    assert found["fid"]["value"] > found["fid"]["real"] > 0
    counts = [found["fid"][name] for name in ("num_real", "real_subsets", "value_of_num_real")]
    assert counts == [50, 7, None], "of 360 test images"
    assert found["manifold"]["real"]["num"] == 50
    assert found["kid"]["real"]["subset"] > found["kid"]["subset"], "of all: it does not change"
    assert found["fid"]["num_samples"] == 50
    assert found["kid"]["mean"] > found["kid"]["real"]["mean"]
    assert (found["kid"]["subset"], found["kid"]["subsets"]) == (5, 10)
    assert found["manifold"]["num"] == 50
    assert found["manifold"]["coverage"] < 0.5 < found["manifold"]["real"]["coverage"]
    assert {"KID", "precision", "coverage"} <= set(out.replace(",", "").split())
    assert found["fid"]["num_reference"] == 1373
    assert found["fid"]["reference"] == "train"
    assert "17 levels" in found["fid"]["rounding"]
    assert found["sampling"]["seconds"] > 0
    assert found["sampling"]["num"] == read_run(copied_run).settings.eval.batch_size, "padding too"
    wrong = {"classifier:/nope": ["/nope"], "inception:/nope.npz": ["/nope.npz"], "vgg": ["vgg"]}
    wrong[f"classifier:{copied_run}"] = ["classifier"]
    for name, says in wrong.items():
        refused(*arguments, f"--config.eval.fid_features={name}", says=says)
    images = np.random.default_rng(0).integers(0, 17, size=(60, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", images=images, levels=17)
    unlabelled = [f"--config.data.name=npz:{tmp_path / 'images.npz'}"]
    refused(
        "--config=digits_dcgan:smoke", f"--workdir={tmp_path / 'other'}", *unlabelled,
        "--config.data.num_validation=10", "--config.eval.estimators=fid",
        says=["no labels", "inception:FILE"],
    )  # fmt: skip
    assert not (tmp_path / "other" / "checkpoints").exists(), "refused before training"


def test_samples_of_another_seed_are_other_samples(smoke_run, tmp_path, monkeypatch):
    """All chunks of one seed differ, and none is a chunk of the next seed."""
    import vdp
    from vdp.evaluation import resume, samples
    from vdp.run import Run

    run = vdp.load(smoke_run)
    seeds = []

    def sample(self, num, *, seed, **options):
        seeds.append(bytes(jax.random.key_data(seed)))
        return np.zeros((num, 8, 8, 1), np.float32)

    monkeypatch.setattr(Run, "sample", sample)
    for seed in (0, 1):
        chosen = run.settings.replace(eval=dict(seed=seed, fid_samples=40))
        asked = dataclasses.replace(run, settings=chosen)
        samples.draw(asked, resume.Rows(tmp_path / str(seed)))
    assert len(seeds) == len(set(seeds)) == 8


def test_batches_of_the_classifier_fall_on_any_number_of_devices():
    chosen = classifier._on(48, config.settings("digits_classifier"))
    assert (chosen.train.batch_size, chosen.eval.batch_size) == (144, 384)
    assert classifier._on(1, chosen) == chosen


def test_one_class_of_labels_trains_no_features():
    settings = config.settings("digits_vae:smoke")
    dataset = datasets.load(settings.data)
    info = dataclasses.replace(dataset.facts.info, num_classes=1)
    alone = dataclasses.replace(dataset, facts=dataclasses.replace(dataset.facts, info=info))
    features.check(settings, dataset)
    with pytest.raises(UserError, match="one class"):
        features.check(settings, alone)
