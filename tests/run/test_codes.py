"""Codes, lines through them, and samples as files."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vdp
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.metrics import smoothness
from vdp.run import Code, codes, saved


@pytest.fixture(scope="module")
def run(smoke_run):
    return vdp.load(smoke_run)


def test_a_code_is_one_type_for_one_latent_and_for_many():
    q = Normal(jnp.ones((2, 3)), jnp.zeros((2, 3)))
    flat, several = Code({"z": q}), Code({"u": q, "z_1": Normal(q.log_var, q.mean)})
    assert flat.names == ("z",)
    np.testing.assert_array_equal(flat.mean, flat["z"].mean)
    np.testing.assert_array_equal(flat.log_var, np.zeros((2, 3)))
    np.testing.assert_array_equal(flat.sample(np.full((2, 3), 2.0)), np.full((2, 3), 3.0))
    assert several.names == ("u", "z_1")
    assert repr(several) == "Code(u: [2, 3], z_1: [2, 3])"
    np.testing.assert_array_equal(several.means["z_1"], np.zeros((2, 3)))
    np.testing.assert_array_equal(several.log_vars["z_1"], np.ones((2, 3)))
    assert [name for name, _ in several.items()] == ["u", "z_1"]
    with pytest.raises(UserError, match="2 latents, u to z_1"):
        _ = several.mean
    with pytest.raises(KeyError, match="z_2"):
        several["z_2"]


def test_lines_go_from_one_code_to_the_other(run):
    images = run.images()[:4]
    lines = run.interpolate(images[:2], images[2:], num=5)
    assert lines.shape == (2, 5, 8, 8, 1)
    mean = run.encode(images).mean
    np.testing.assert_allclose(lines[:, 0], run.decode(mean[:2]), atol=1e-6)
    np.testing.assert_allclose(lines[:, -1], run.decode(mean[2:]), atol=1e-6)
    middle = smoothness.between(mean[:2], mean[2:], 3)[:, 1]
    np.testing.assert_allclose(lines[:, 2], run.decode(middle), atol=1e-6)
    with pytest.raises(UserError, match="as many ends"):
        run.interpolate(images[:2], images[2:3])


def test_one_number_of_a_code_takes_all_values(run):
    images = run.images()[:2]
    shown = run.traverse(images, 3, [-1.0, 0.0, 2.0])
    assert shown.shape == (2, 3, 8, 8, 1)
    z = run.encode(images).mean.copy()
    z[:, 3] = 2.0
    np.testing.assert_allclose(shown[:, 2], run.decode(z), atol=1e-6)
    assert run.traverse(None, 0, [0.0, 1.0]).shape == (1, 2, 8, 8, 1)
    for wrong in (12, [1, 2], -1):
        with pytest.raises(UserError, match="not one number of this code: give its index, 0 to 11"):
            run.traverse(images, wrong, [0.0])
    with pytest.raises(UserError, match="one or more"):
        run.traverse(images, 0, [])
    maps = np.zeros((1, 2, 3, 4), np.float32)
    flat = codes.moved(maps, np.int64(20), [5.0])
    turned = codes.moved(maps, (1, 2, 0), [5.0])
    np.testing.assert_array_equal(flat, turned)
    assert turned[0, 0, 1, 2, 0] == 5.0 == turned.sum()
    for wrong in ((1, 2), (2, 0, 0), -1, 24):
        with pytest.raises(UserError, match=r"0 to 23, or a place in \[2, 3, 4\]"):
            codes.moved(maps, wrong, [5.0])


def test_scores_have_the_names_of_the_log(run):
    images = run.images()[:3]
    scores, terms = run.scores(images), run.elbo(images)
    np.testing.assert_array_equal(scores["elbo"], terms.value)
    assert set(scores) == {"elbo", *terms.parts}


def test_images_are_refused_by_the_shape_that_was_given(run):
    images = run.images()[:2]
    for wrong, says in (
        (images[0], r"uint8 \[N, 8, 8, 1\], not uint8 \[8, 8, 1\]; pass one image as x\[None\]"),
        (images[:, :4, :, 0], r"not uint8 \[2, 4, 8\]$"),
        (images[:0], "give at least one"),
        (images / 16, "not float64"),
    ):
        with pytest.raises(UserError, match=says):
            run.arrays(wrong)
    assert run.arrays(images[..., 0])[1].shape == (2, 8, 8, 1)


def test_labels_belong_to_the_images(run):
    assert run.class_names == (), "digits have none"
    labels = run.labels("test")
    assert len(labels) == len(run.images("test"))
    assert set(labels) == set(range(10))


def test_samples_become_files(run, tmp_path):
    run.save_samples(tmp_path / "drawn.npz", 3, seed=1)
    with np.load(tmp_path / "drawn.npz") as stored:
        assert stored["levels"] == 17
        np.testing.assert_array_equal(stored["images"], np.rint(run.sample(3, seed=1) * 16))
    levels = np.arange(17, dtype=np.uint8).reshape(1, 1, 17, 1)
    saved.write(tmp_path / "folder", levels, 17)
    (path,) = (tmp_path / "folder").iterdir()
    assert path.name == "00000.png"
    np.testing.assert_array_equal(
        np.asarray(Image.open(path))[0], np.rint(np.arange(17) * 255 / 16)
    )
    with pytest.raises(UserError, match="no empty folder"):
        saved.write(tmp_path / "folder", levels, 17)
    with pytest.raises(UserError, match="2 channels"):
        saved.write(tmp_path / "more", np.zeros((1, 2, 2, 2), np.uint8), 17)


def test_a_hierarchy_is_encoded_top_first(run):
    q = Normal(np.zeros((2, 3)), np.zeros((2, 3)))

    class Ladder:
        def latent_table(self, x_shape):
            return [{"name": f"z_{level}"} for level in (11, 2, 1)]

        encode = init = draw = loss = elbo = latent_means = lambda *_: None
        discrete, bound_model = True, "exact"

    of = dataclasses.replace(run, model=Ladder())
    named = {"u": q, "z_1": q, "z_11": q, "z_2": q}
    object.__setattr__(of, "map", lambda *_: named)
    assert of.encode(run.images()[:2]).names == ("u", "z_11", "z_2", "z_1")
    with pytest.raises(UserError, match="has no single latent"):
        of.interpolate(run.images()[:1], run.images()[1:2])


def test_latents_of_another_shape_are_refused(run):
    z = run.encode(run.images()[:2]).mean
    for wrong in (z[0], z[:, :3], z[:0]):
        with pytest.raises(UserError, match="latents must be"):
            run.decode(wrong)
    with pytest.raises(UserError, match=r"pass one latent as z\[None\]"):
        run.decode(z[0])
    with pytest.raises(UserError, match="latents must be"):
        run.show(z[:, :3])


def test_draws_of_other_seeds_are_others_and_those_of_none_are_the_evaluations(run):
    images = run.images()[:5]
    first = run.elbo(images)
    np.testing.assert_array_equal(first.value, run.elbo(images).value)
    own = run.settings.eval.seed
    np.testing.assert_array_equal(first.value, run.elbo(images, seed=own).value)
    other = run.elbo(images, seed=own + 1)
    assert np.all(first.value != other.value)
    np.testing.assert_array_equal(other.value, run.scores(images, seed=own + 1)["elbo"])
    weights = [run.iwae(images, num_samples=2, seed=seed) for seed in (1, 2)]
    assert np.all(weights[0] != weights[1])
    assert np.any(run.reconstruct(images, seed=1) != run.reconstruct(images, seed=2))
    with pytest.raises(UserError, match="a seed lies in"):
        run.elbo(images, seed=-1)


def test_the_images_of_a_run_are_read_once(run, monkeypatch):
    fresh = dataclasses.replace(run)
    images = fresh.images("test")
    monkeypatch.setattr("vdp.data.identity.load", None)
    np.testing.assert_array_equal(fresh.images("test"), images)
    assert len(fresh.labels("validation"))
