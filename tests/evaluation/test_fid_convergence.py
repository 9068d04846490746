"""FID over the number of samples, as an evaluation has it."""

import dataclasses

import pytest

import vdp
from vdp.data import datasets
from vdp.evaluation import fid_convergence, resume
from vdp.evaluation.doublings import Material
from vdp.metrics import fid, fid_extrapolation

PIXELS = fid.Features(
    name="pixels",
    fingerprint="some pixels",
    apply=lambda images: images.reshape(len(images), -1)[:, 20:24] / 8,
)


def report(run, dataset, features, images, folder, **settings):
    """The report of these images in place of samples."""
    asked = dataclasses.replace(run, settings=run.settings.replace(eval=settings))
    two = dataset.splits["test"].take(slice(2))
    arrays = (two.images, two.images, two.labels)
    return fid_convergence.report(
        Material(
            run=asked,
            arrays=arrays,
            dataset=dataset,
            kept=resume.Unfinished(run, folder, arrays),
            features=features,
            samples=lambda: features.apply(images),
        )
    )


def test_the_report_says_what_the_number_of_samples_adds(smoke_run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = vdp.load(smoke_run)
    dataset = datasets.load(run.settings.data)
    images, reference = dataset.splits["train"].images[:240], dataset.splits["test"].images
    found = report(run, dataset, PIXELS, images, tmp_path, fid_reference="test")
    expected = fid.statistics(PIXELS.apply(reference))
    exact = fid_extrapolation.extrapolated(PIXELS.apply(images), expected)
    assert found["extrapolated"] == exact["extrapolated"]
    assert found["num_examples"] == 240
    assert [row["num"] for row in found["rows"]] == [row["num"] for row in exact["rows"]]
    whole = fid.frechet_distance(fid.statistics(PIXELS.apply(images)), expected)
    assert found["rows"][-1]["fid"] == {"mean": pytest.approx(whole), "se": None}
    assert found["extrapolated"]["mean"] < whole
    assert found["extrapolated"]["se"] > 0
    assert found["words"].endswith("of infinitely many")
    assert found["converged"] is None  # of 240 samples the bias is not told from its error
    for bias, converged in ((0.1, True), (0.9, None), (2.0, False)):
        near = {
            "rows": exact["rows"],
            "extrapolated": {"mean": 100.0, "se": 50.0},  # too uncertain for convergence
            "bias": {"mean": bias, "se": 0.4},
        }
        monkeypatch.setattr(fid_extrapolation, "extrapolated", lambda *_, near=near: near)
        again = report(run, dataset, PIXELS, images, tmp_path, fid_reference="test")
        assert again["converged"] is converged
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wide = dataclasses.replace(PIXELS, fingerprint="all pixels", apply=flat)
    few = report(run, dataset, wide, images, tmp_path)
    assert "too few to extrapolate with 64 features" in few["words"]


def flat(images):
    return images.reshape(len(images), -1) / 8
