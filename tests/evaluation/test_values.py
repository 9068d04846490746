"""eval.npz: what every image got, beside what eval.json says of them all."""

import json

import numpy as np
import pytest

import vdp
from vdp.evaluation import values

IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)


def test_an_evaluation_keeps_what_its_means_are_of(smoke_run):
    result = json.loads((smoke_run / "eval.json").read_text())
    stored = values.read(smoke_run / "eval.json")
    for name, entry in result["estimators"].items():
        assert (name in stored) == (entry is not None)
    elbo = stored["elbo"]
    assert elbo.shape == (result["num_examples"],)
    assert elbo.mean() == pytest.approx(result["estimators"]["elbo"]["nats"]["mean"], rel=1e-5)
    parts = [array for name, array in stored.items() if name.startswith("elbo.")]
    np.testing.assert_allclose(sum(parts), elbo, rtol=1e-5)
    images = vdp.load(smoke_run).images("test")[: len(elbo)]  # not binarised: input is target
    np.testing.assert_array_equal(stored[values.IMAGE], values.image_hashes(images))


def arrays(**more):
    return {values.IMAGE: values.image_hashes(IMAGES), **more}


def test_one_pixel_makes_another_image():
    other = IMAGES.copy()
    other[3, 0, 0] += 1
    differ = values.image_hashes(other) != values.image_hashes(IMAGES)
    assert differ.tolist() == [False, False, False, True, False, False]


def test_estimates_that_stay_keep_their_values(tmp_path):
    path = tmp_path / "eval.json"
    bound = values.named("iwae", np.ones(6), {"ess": np.full(6, 2.0)})
    values.write(path, arrays(**bound), {})
    values.write(path, arrays(**values.named("elbo", np.zeros(6), {})), {"iwae": {}})
    stored = values.read(path)
    assert sorted(stored) == ["elbo", "image", "iwae", "iwae.ess"]
    values.write(path, arrays(**values.named("elbo", np.zeros(6), {})), {})
    assert sorted(values.read(path)) == ["elbo", "image"]
    others = {values.IMAGE: values.image_hashes(IMAGES[::-1])}
    values.write(path, others, {"elbo": {}})
    assert sorted(values.read(path)) == ["image"]


def test_what_is_no_file_of_values_is_none(tmp_path):
    path = tmp_path / "eval.json"
    assert values.read(path) is None
    for wrong in (
        {"elbo": np.zeros(3)},
        arrays(elbo=np.zeros(5)),
        arrays(elbo=np.array(["a"] * 6)),
    ):
        np.savez(path.with_suffix(".npz"), **wrong)
        assert values.read(path) is None
    path.with_suffix(".npz").write_bytes(b"PK\x03\x04 cut")
    assert values.read(path) is None


def test_results_of_other_images_are_told_apart(tmp_path):
    path, images = tmp_path / "eval.json", np.arange(3, dtype=np.uint64)
    of = lambda image: {values.IMAGE: image}
    assert not values.of_others(path, of(images)), "nothing is there"
    values.write(path, of(images), {})
    assert not values.of_others(path, of(images))
    assert values.of_others(path, of(images + 1))
    assert not values.of_others(path, of(images[:2])), "fewer of them"
