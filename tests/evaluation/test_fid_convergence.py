"""FID over the number of samples, as an evaluation has it."""

import dataclasses

import pytest

import vdp
from vdp.data import datasets
from vdp.evaluation import fid_convergence, resume, samples
from vdp.evaluation.doublings import Asked
from vdp.metrics import fid, fid_extrapolation

PIXELS = fid.Features(
    name="pixels",
    fingerprint="some pixels",
    apply=lambda images: images.reshape(len(images), -1)[:, 20:24] / 8,
)


def test_samples_are_compared_with_the_split_that_the_settings_name(
    smoke_run, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = vdp.load(smoke_run)
    asked = dataclasses.replace(run, settings=run.settings.replace(eval={"fid_reference": "test"}))
    dataset = datasets.load(run.settings.data)
    images, reference = dataset.splits["train"].images[:240], dataset.splits["test"].images
    found = fid_convergence.measure(asked, dataset, PIXELS, images)
    expected, found_in = fid.statistics(PIXELS.apply(reference)), PIXELS.apply(images)
    exact = fid_extrapolation.extrapolated(found_in, expected)
    assert found == {**exact, "num_features": 4}
    whole = fid.frechet_distance(fid.statistics(found_in), expected)
    assert found["rows"][-1]["mean"] == pytest.approx(whole)
    assert found["extrapolated"]["mean"] < whole
    assert found["extrapolated"]["se"] > 0


def test_the_report_says_what_the_number_of_samples_adds(smoke_run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = vdp.load(smoke_run)
    dataset = datasets.load(run.settings.data)
    images = dataset.splits["train"].images[:240]
    drawn = samples.Drawn(images=images, num=240, seconds=None)
    monkeypatch.setattr(samples, "draw", lambda run, rows: drawn)
    kept, target = resume.Unfinished(run, tmp_path), dataset.splits["test"].images[:2]
    arrays = target, target, dataset.splits["test"].labels[:2]
    report = lambda features: fid_convergence.report(
        Asked(run=run, arrays=arrays, dataset=dataset, kept=kept, features=features)
    )
    found = report(PIXELS)
    assert found["num_examples"] == 240
    assert found["rows"][-1]["fid"]["mean"] > found["extrapolated"]["mean"]
    assert found["words"].endswith("of infinitely many")
    wide = dataclasses.replace(PIXELS, fingerprint="all pixels", apply=flat)
    assert "too few to extrapolate with 64 features" in report(wide)["words"]


def flat(images):
    return images.reshape(len(images), -1) / 8
