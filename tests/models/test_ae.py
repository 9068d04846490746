"""Autoencoders: squared errors, Jacobians and worst perturbations, against exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import (
    NUM,
    X_SHAPE,
    autoencoder,
    batch_of,
    loss_of,
    reconstructed,
    scaled,
    squares,
)

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.models.ae import JacobianProbes, NoNoise


def test_the_error_is_the_sum_of_squares_over_pixels():
    model, params, stats = autoencoder("plain")
    batch = batch_of()
    x = scaled(batch)
    exact = squares(x - reconstructed(params, x))
    loss, aux = loss_of(model, params, stats, batch)
    np.testing.assert_allclose(loss, exact, rtol=1e-5)
    np.testing.assert_allclose(aux.terms.value, -exact, rtol=1e-5)
    terms = model.evaluate(params, stats, batch, jax.random.key(0))
    np.testing.assert_allclose(terms.parts["squared_error"], -exact, rtol=1e-5)
    np.testing.assert_array_equal(terms.value, terms.parts["squared_error"])


def test_a_code_is_a_point_and_pictures_lie_in_the_unit_interval():
    model, params, stats = autoencoder("plain")
    x, key = batch_of().input, jax.random.key(0)
    q = model.encode(params, stats, x)
    assert np.all(q.log_var == -np.inf)
    np.testing.assert_array_equal(q.sample(jnp.ones_like(q.mean)), q.mean)
    exact = reconstructed(params, scaled(batch_of()))
    assert exact.min() < 0 or exact.max() > 1
    for found in (
        model.reconstruct(params, stats, x, key),
        model.decode_mean(params, stats, q.mean, X_SHAPE),
    ):
        np.testing.assert_allclose(found, np.clip(exact, 0, 1), atol=1e-5)
    for name in ("log_weight", "sample", "bound_model", "latent_table"):
        assert not hasattr(model, name), "there is no probability"


def test_target_and_input_have_levels_of_their_own():
    model, params, stats = autoencoder("plain", levels=2)
    grey = batch_of()
    batch = grey.replace(target=(grey.input > 8).astype(np.uint8))
    exact = squares(batch.target - reconstructed(params, scaled(batch)))
    np.testing.assert_allclose(loss_of(model, params, stats, batch)[0], exact, rtol=1e-5)


def test_denoising_compares_with_the_clean_image():
    """f(g(x + std * noise, then masked)) against x, never against what the encoder saw."""
    model, params, stats = autoencoder("denoising")
    batch = batch_of()
    noise = model.draw(jax.random.key(3), batch)
    x = scaled(batch)
    seen = np.where(noise.kept, x + 0.3 * np.asarray(noise.eps, np.float64), 0)
    assert 0 < np.mean(noise.kept) < 1
    exact = squares(x - reconstructed(params, seen))
    loss, aux = loss_of(model, params, stats, batch, noise)
    np.testing.assert_allclose(loss, exact, rtol=1e-5)
    np.testing.assert_allclose(aux.terms.value, -exact, rtol=1e-5)
    clean = squares(x - reconstructed(params, x))
    np.testing.assert_allclose(
        model.evaluate(params, stats, batch, jax.random.key(0)).value, -clean, rtol=1e-5
    )


def test_corruption_has_its_deviation_and_its_share():
    model, _, _ = autoencoder("denoising")
    noise = model.draw(jax.random.key(0), batch_of(2000))
    assert abs(np.std(noise.eps) - 1) < 0.03
    assert abs(np.mean(noise.kept) - 0.6) < 0.02
    assert model.draw(jax.random.key(0), batch_of(), purpose="elbo") == NoNoise()


@pytest.mark.parametrize("latent_shape", [(3,), (2, 1, 2)])
def test_the_penalty_is_the_squared_jacobian_of_the_encoder(latent_shape):
    """Central differences over every pixel, images in [0, 1]."""
    model, params, stats = autoencoder("contractive", "toys.Curved", latent_shape=latent_shape)
    plain, _, _ = autoencoder("plain", "toys.Curved", latent_shape=latent_shape)
    batch = batch_of()
    loss, aux = loss_of(model, params, stats, batch)
    penalty = loss - loss_of(plain, params, stats, batch)[0]
    x, step = scaled(batch).astype(np.float32), 1e-2
    code = jax.jit(lambda x: model.code(params, stats, x)[0])
    total = np.zeros(NUM)
    for pixel in np.eye(6, dtype=np.float32).reshape(6, 1, *X_SHAPE):
        total += squares(np.asarray(code(x + step * pixel) - code(x - step * pixel)) / (2 * step))
    np.testing.assert_allclose(penalty, 0.3 * total, rtol=5e-3)
    np.testing.assert_allclose(aux.scalars["squared_jacobian"], total.mean(), rtol=5e-3)
    np.testing.assert_allclose(aux.terms.value, penalty - loss, rtol=1e-5)


def test_probes_average_to_the_exact_penalty():
    """Over all eight sign vectors of a code of three numbers the estimate is the exact sum."""
    exact, params, stats = autoencoder("contractive", "toys.Curved")
    probed, _, _ = autoencoder("contractive", "toys.Curved", probes=8)
    batch = batch_of()
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3), np.float32).reshape(3, 8).T
    every = JacobianProbes(signs=jnp.broadcast_to(signs, (NUM, 8, 3)))
    wanted = loss_of(exact, params, stats, batch)[0]
    np.testing.assert_allclose(loss_of(probed, params, stats, batch, every)[0], wanted, rtol=1e-4)
    one = JacobianProbes(signs=every.signs[:, :1])
    assert np.abs(loss_of(probed, params, stats, batch, one)[0] - wanted).max() > 0.01
    drawn = probed.draw(jax.random.key(0), batch).signs
    assert drawn.shape == (NUM, 8, 3)
    assert set(np.unique(drawn)) == {-1.0, 1.0}


def test_batch_norm_keeps_its_running_statistics():
    nets = {"encoder": {"name": "DCGANEncoder", "channels": (2, 2)},
            "decoder": {"name": "DCGANDecoder", "channels": (2,)}}  # fmt: skip
    model, params, stats = autoencoder("plain", latent_shape=(2,), **nets)
    new = loss_of(model, params, stats, batch_of())[1].stats
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), new, stats)
    assert min(jax.tree.leaves(moved["encoder"])) > 1e-4
    assert min(jax.tree.leaves(moved["decoder"])) > 1e-4


def test_jacobians_of_normalised_batches_are_refused():
    cfg = config.settings("digits_ae:kind=contractive")
    spec = cfg.model | {"encoder": {"name": "DCGANEncoder", "channels": (8, 8)}}
    with pytest.raises(UserError, match=r"^kind='contractive' needs .* BatchNorm"):
        build.model(spec, datasets.describe(cfg.data))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "sparse"}, "unknown config.model.kind 'sparse'; accepted: contractive, "),
        ({"kind": "plain", "radius": 1.0}, "radius is of kind='robust'"),
        ({"kind": "denoising"}, "corruption"),
        ({"kind": "denoising", "masking": 1.0}, "masking"),
        ({"kind": "robust", "radius": 1.0}, "ascent_steps"),
        ({"kind": "robust", "radius": -1.0, "ascent_steps": 3}, "radius"),
        ({"kind": "contractive", "probes": 2}, "weight"),
        ({"kind": "contractive", "weight": 1.0, "probes": -1}, "probes"),
        ({"kind": "plain", "latent_shape": (0,)}, "latent_shape"),
    ],
)
def test_wrong_fields_are_refused(fields, says):
    spec = {"name": "ae", "latent_shape": (2,), "encoder": {"name": "MLP"}}
    spec |= {"decoder": {"name": "MLP"}} | fields
    with pytest.raises(UserError, match=says):
        build.build("model", spec, levels=2, input_levels=2)
