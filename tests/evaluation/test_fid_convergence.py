"""FID over the number of samples, as an evaluation has it."""

import dataclasses

import pytest

import vdp
from vdp.data import datasets
from vdp.evaluation import fid_convergence
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
    expected, samples = fid.statistics(PIXELS.apply(reference)), PIXELS.apply(images)
    exact = fid_extrapolation.extrapolated(samples, expected)
    assert found == {**exact, "num_features": 4}
    whole = fid.frechet_distance(fid.statistics(samples), expected)
    assert found["rows"][-1]["mean"] == pytest.approx(whole)
    assert found["extrapolated"]["mean"] < whole
    assert found["extrapolated"]["se"] > 0
