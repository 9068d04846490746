"""Other data sets under a run's model: what is compared, kept, drawn, and refused."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from autoencoders import autoencoder
from sklearn.metrics import roc_auc_score
from starting import started

import vdp
from vdp import build
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import index, naming, ood, report, resume
from vdp.metrics import complexity
from vdp.metrics.batched import Batched
from vdp.pictures import histograms
from vdp.settings import Data
from vdp.types import Batch


@pytest.fixture
def noise(tmp_path):
    """The name of 40 test images of uniform noise."""
    images = np.random.default_rng(0).integers(0, 17, (40, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "noise.npz", train_images=images, test_images=images, levels=17)
    return f"npz:{tmp_path / 'noise.npz'}"


def asking(run, *names, **fields):
    """The run with other data sets, and at most 50 images of each."""
    chosen = run.settings.replace(eval={"ood": names, "max_examples": 50, **fields})
    return dataclasses.replace(run, settings=chosen)


def area(higher, lower):
    labels = np.repeat([1, 0], [len(higher), len(lower)])
    return pytest.approx(roc_auc_score(labels, np.concatenate([higher, lower])))


def test_scores_of_another_data_set_from_the_command_line(cli, refused, copied_run, noise):
    arguments = ("--mode=eval", f"--workdir={copied_run}", "--config.eval.estimators=elbo")
    refused(*arguments, "--config.eval.ood=digits,npz:/nope.npz", says=["eval.ood=npz:/nope.npz"])
    code, out, err = cli(*arguments, f"--config.eval.ood={noise}")
    assert code == 0, err
    (path,) = copied_run.glob("eval-best-test-other-*.json")
    result = json.loads(path.read_text())
    found = result["ood"][noise]
    run = vdp.load(copied_run)
    own, other = run.images()[:64], np.load(noise[4:])["test_images"][..., None]
    assert found.pop("num") == {"in": 64, "out": 40}
    assert set(found) == {"elbo", "code", "complexity", "corrected"}
    bounds = [run.elbo(images).value for images in (own, other)]
    bits = [complexity.compressed_bits(images) for images in (own, other)]
    corrected = [-bound / np.log(2) - size for bound, size in zip(bounds, bits, strict=True)]
    assert found["elbo"]["auroc"] == area(*bounds)
    assert found["elbo"]["mean_out"] == pytest.approx(bounds[1].mean())
    assert found["complexity"]["auroc"] == area(*bits[::-1])
    assert found["corrected"]["auroc"] == area(*corrected[::-1])
    assert {found["elbo"]["higher"], found["code"]["higher"]} == {"in"}
    assert {found["complexity"]["higher"], found["corrected"]["higher"]} == {"out"}
    assert f"test against {noise}, 40 images: AUROC of elbo {found['elbo']['auroc']:.3f}" in out
    picture = histograms.file_name(noise, path)
    assert picture.startswith("ood-npz-noise-")
    assert (copied_run / "plots" / picture).is_file()


@pytest.fixture
def ladder_run(smoke_run):
    """A run's images with a ladder of one scale under a code, of untrained weights."""
    run = vdp.load(smoke_run)
    spec = {
        "name": "hvae",
        "scales": ((8, 2, 1),),
        "encoder": {"name": "toys.LinearEncoder"},
        "decoder": {"name": "toys.LinearDecoder"},
        "likelihood": {"name": "normal", "scale": 0.5},
        "pseudoinput": {"name": "downsample", "size": 8, "antialias": False},
        "prior": {"name": "normal"},
    }
    model = build.build("model", spec, levels=17, input_levels=17)
    params, stats = started(model, jax.random.key(0), run.facts.shape)
    return dataclasses.replace(run, model=model, params=params, stats=stats)


def test_a_ladder_has_likelihood_ratios_and_what_is_kept_is_not_computed_again(
    ladder_run, noise, tmp_path, monkeypatch
):
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    run = asking(ladder_run, noise)
    inside = run.arrays(run.images()[:50])
    others = ood.load(run.settings, run.facts, run.model)
    kept = resume.Unfinished(run, tmp_path, inside)
    compared = ood.compare(run, inside, others, kept, {})[noise]
    assert set(compared.inside) == {"elbo", "code", "llr_0", "complexity", "corrected"}
    assert compared.entry()["llr_0"]["higher"] == "out"
    target, inputs, labels = (array[:32] for array in inside)
    batch = Batch(target=target, input=inputs, label=labels)
    key = jax.random.fold_in(jax.random.key(0), 0)
    partial = run.model.partial_elbo(run.params, run.stats, batch, key, num_scales=0)
    found = (compared.inside["elbo"] - compared.inside["llr_0"])[:32]
    np.testing.assert_allclose(found, partial.value, rtol=1e-4)

    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(Batched, "compiled", lambda *args, **options: never)
    again = ood.compare(run, inside, others, kept, {})[noise]
    assert again.entry() == compared.entry()
    known = {"elbo": np.arange(50, dtype=np.float32)}
    given = ood.compare(run, inside, others, kept, known)[noise]
    np.testing.assert_array_equal(given.inside["elbo"], known["elbo"])


def test_a_score_that_is_not_finite_is_null():
    scores = [{"elbo": np.array([1.0, value]), "code": np.arange(2.0)} for value in (2, -np.inf)]
    entry = ood.Compared(inside=scores[0], outside=scores[1]).entry()
    assert entry["elbo"] is None
    assert entry["code"]["auroc"] == 0.5
    assert json.loads(json.dumps(entry, allow_nan=False))["num"] == {"in": 2, "out": 2}


def test_other_images_are_prepared_as_the_runs_own(smoke_run, tmp_path):
    run = vdp.load(smoke_run)
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(tmp_path / "deep.npz", train_images=images, test_images=images)
    name = f"npz:{tmp_path / 'deep.npz'}"
    target, *_ = ood.load(asking(run, name).settings, run.facts, run.model)[name]
    assert (target.max(), len(np.unique(target))) == (16, 17)
    data = dataclasses.replace(run.settings.data, binarization="dynamic", num_validation=300)
    binary = dataclasses.replace(run.settings, data=data).replace(eval={"ood": (name, "digits")})
    facts = datasets.describe(data)
    found = ood.load(binary, facts, run.model)
    assert [set(np.unique(arrays[0])) for arrays in found.values()] == [{0, 1}, {0, 1}]
    own = datasets.fixed_images(datasets.load(data).splits["test"], facts, data)
    np.testing.assert_array_equal(found["digits"][0], own[0][:64])


def test_what_cannot_be_scored_is_refused(smoke_run, tmp_path):
    run = vdp.load(smoke_run)
    np.savez(tmp_path / "wide.npz", images=np.zeros((20, 8, 9), np.uint8), levels=17)
    np.savez(tmp_path / "two.npz", images=np.zeros((20, 8, 8), np.uint8), levels=2)
    for name, says in {
        f"npz:{tmp_path / 'wide.npz'}": r"8x9x1 where .* 8x8x1: ask for config.data.resize=8x8",
        f"npz:{tmp_path / 'two.npz'}": "more than the 2 levels",
        "digit": "did you mean digits",
    }.items():
        with pytest.raises(UserError, match=says):
            ood.load(asking(run, name).settings, run.facts, run.model)
    boundless, *_ = autoencoder("plain")
    with pytest.raises(UserError, match=r"eval\.ood needs a bound on log p\(x\)"):
        ood.load(asking(run, "digits").settings, run.facts, boundless)
    assert ood.load(asking(run).settings, run.facts, boundless) == {}


def test_files_of_another_data_set_may_lie_beside_those_of_the_runs_own(tmp_path):
    (tmp_path / "fashion_mnist").mkdir()
    data = Data(name="mnist", dir=str(tmp_path / "mnist"))
    assert ood._beside(data, "fashion_mnist") == str(tmp_path / "fashion_mnist")
    assert ood._beside(data, "cifar10") is None
    assert ood._beside(data, "npz:fashion_mnist") is None


def test_results_keep_other_data_sets_that_are_not_asked_for_again(smoke_run):
    run = vdp.load(smoke_run)
    assert naming.file_name(run.trained, asking(run, "mnist", max_examples=64).settings) == (
        "eval.json"
    )
    images = run.arrays(run.images()[:2])
    names = (), ("mnist",)
    fingerprints = [resume._fingerprint(asking(run, *each), images) for each in names]
    assert fingerprints[0] == fingerprints[1]
    score = {"auroc": 0.75, "se": 0.01, "mean_in": 1.0, "mean_out": 0.0, "higher": "in"}
    entry = {"elbo": score, "code": None, "num": {"in": 4, "out": 3}}
    kid = {"mean": 0.01234, "se": None, "subset": 4, "subsets": 1, "real": None}
    about = {"estimators": {}, "fid": None, "step": 7}
    before = about | {"ood": {"mnist": entry, "omniglot": entry}, "kid": kid}
    result = index.with_earlier(about | {"ood": {"mnist": entry}}, before)
    assert set(result["earlier"]) == {"ood omniglot", "kid"}
    missing = dict.fromkeys(("latents", "interpolation", "accuracy"))
    shown = {"checkpoint": "best", "split": "test", "num_examples": 4, **missing, **result}
    words = report.in_words(shown)
    assert "KID 0.01234 (1 subsets of 4 images): of step 7, not computed again" in words
    assert "against omniglot, 3 images: AUROC of elbo 0.750 ± 0.010: of step 7" in "\n".join(words)
    assert words[-1] == "test against mnist, 3 images: AUROC of elbo 0.750 ± 0.010"
