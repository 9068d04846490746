"""The worst perturbation of a robust autoencoder, against exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
from autoencoders import (
    NUM,
    X_SHAPE,
    affine_map,
    autoencoder,
    batch_of,
    loss_of,
    reconstructed,
    scaled,
    squares,
)

from vdp.models import perturbations
from vdp.models.ae import BallStart


def test_the_worst_perturbation_stays_in_the_ball_and_is_worse():
    model, params, stats = autoencoder("robust", "toys.Curved")
    batch = batch_of(64)
    x = scaled(batch).astype(np.float32)
    noise = model.draw(jax.random.key(3), batch)
    worst = jax.jit(model.worst)
    delta = worst(params, stats, x, x, noise.start)
    lengths = np.sqrt(squares(np.asarray(delta)))
    assert np.all(lengths <= 0.7 * (1 + 1e-6))
    assert np.mean(lengths > 0.699) > 0.8
    errors = lambda delta: np.asarray(model.errors(params, stats, x + delta, x))
    loss, aux = loss_of(model, params, stats, batch, noise, train=False)
    np.testing.assert_allclose(loss, errors(delta), rtol=1e-5)
    np.testing.assert_array_equal(aux.terms.value, -loss)
    for easier in (0 * delta, 0.7 * noise.start):
        assert np.all(loss >= errors(easier) * (1 - 1e-6))
        assert loss.mean() > 1.3 * errors(easier).mean()
    others = noise.start.at[1:].set(0.0)
    alone = worst(params, stats, x, x, others)
    np.testing.assert_allclose(alone[0], delta[0], atol=1e-5, err_msg="examples do not mix")


def test_no_gradient_passes_through_the_search():
    model, params, stats = autoencoder("robust", "toys.Curved")
    plain, _, _ = autoencoder("plain", "toys.Curved")
    batch = batch_of()
    noise = model.draw(jax.random.key(3), batch)
    x = scaled(batch).astype(np.float32)
    delta = jax.jit(model.worst)(params, stats, x, x, noise.start)
    found = jax.grad(lambda p: loss_of(model, p, stats, batch, noise)[0].sum())(params)
    held = jax.jit(jax.grad(lambda p: plain.errors(p, stats, x + delta, x).sum()))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, held)


def exact_worst(residual, both, radius):
    """Largest |residual - delta A|^2 over the ball: on its boundary, by the secular equation."""
    left, sizes, _ = np.linalg.svd(both)
    pull = residual @ both.T @ left  # of each singular direction
    eigenvalues = np.pad(sizes**2, (0, len(left) - len(sizes)))
    low, high = eigenvalues[0] * (1 + 1e-12), eigenvalues[0] + 10 * np.abs(pull).max() / radius
    for _ in range(200):
        middle = (low + high) / 2
        delta = -pull / (middle - eigenvalues)
        low, high = (middle, high) if np.linalg.norm(delta) > radius else (low, middle)
    return np.sum((residual - left @ delta @ both) ** 2)


def test_the_worst_perturbation_of_a_linear_autoencoder():
    model, params, stats = autoencoder("robust", ascent_steps=40)
    batch, radius = batch_of(), 0.7
    x = scaled(batch)
    start = model.draw(jax.random.key(3), batch).start
    both, _ = affine_map(params)
    residuals = (x - reconstructed(params, x)).reshape(NUM, -1)
    exact = [exact_worst(residual, both, radius) for residual in residuals]
    found = loss_of(model, params, stats, batch, BallStart(start=start))[0]
    np.testing.assert_allclose(found, exact, rtol=1e-4)

    left, sizes, _ = np.linalg.svd(both)  # of a perfect reconstruction: the top singular direction
    clean = jnp.float32(reconstructed(params, x))
    delta = np.asarray(jax.jit(model.worst)(params, stats, jnp.float32(x), clean, start)).reshape(
        NUM, -1
    )
    np.testing.assert_allclose(np.abs(delta @ left[:, 0]), radius, rtol=1e-3)
    np.testing.assert_allclose(squares(delta @ both), (radius * sizes[0]) ** 2, rtol=1e-3)


def test_the_best_point_may_lie_inside_the_ball():
    """At the start, or at no perturbation; steps are too long to meet either again."""
    start = perturbations.in_unit_ball(jax.random.key(0), (NUM, *X_SHAPE))
    for peak in (0.7 * start, 0 * start):
        errors = lambda delta, peak=peak: -squares(delta - peak)
        found = perturbations.worst(errors, start, radius=0.7, steps=3)
        np.testing.assert_allclose(found, peak, atol=1e-6)


def test_starts_fill_the_unit_ball_evenly():
    start = np.asarray(perturbations.in_unit_ball(jax.random.key(0), (4000, *X_SHAPE)))
    volume = np.sqrt(squares(start)) ** 6  # uniform on [0, 1] in six dimensions
    assert volume.max() <= 1 + 1e-5
    np.testing.assert_allclose([volume.mean(), volume.var()], [1 / 2, 1 / 12], rtol=0.05)
    np.testing.assert_allclose(start.reshape(4000, 6).mean(0), 0, atol=0.03)
