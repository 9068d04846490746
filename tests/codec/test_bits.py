"""The stack and what is coded on it, against exact entropies: no network, no compilation."""

import numpy as np
import pytest
from scipy import stats

from vdp.codec.bits_back import BitsBack
from vdp.codec.gaussians import Gaussians
from vdp.codec.stack import Stack, Unwritten
from vdp.codec.tables import Table
from vdp.errors import UserError

pytest.importorskip("constriction")  # of the extra `codec`

NOISE, SIZE, IMAGES = 0.5, 128, 120  # x = z + N(0, NOISE^2); numbers of one image
POSTERIOR = np.sqrt(1 / (1 + 1 / NOISE**2))
Z_BIN, X_BIN = POSTERIOR / 4, NOISE / 4


def full(value):
    return np.full(SIZE, float(value))


def known_model(*, wider=1.0):
    """x under z ~ N(0, 1); q(z|x) has `wider` times the deviation of the posterior."""
    prior = Gaussians(mean=full(0), std=full(1 / Z_BIN))
    likelihood = lambda k: Gaussians(mean=k * Z_BIN / X_BIN, std=full(NOISE / X_BIN))

    def posterior(x):
        mean = x * X_BIN * POSTERIOR**2 / NOISE**2 / Z_BIN
        return Gaussians(mean=mean, std=full(wider * POSTERIOR / Z_BIN), borrowed=True)

    return BitsBack(prior=prior, likelihood=likelihood, posterior=posterior)


def drawn():
    x = np.random.default_rng(0).normal(size=(IMAGES, SIZE)) * np.sqrt(1 + NOISE**2)
    return np.rint(x / X_BIN).astype(np.int64)


def log2_mass(x):
    """log2 of the mass that the marginal N(0, 1 + NOISE^2) has in the bins of x."""
    std = np.sqrt(1 + NOISE**2) / X_BIN
    return np.log2(stats.norm.cdf((x + 0.5) / std) - stats.norm.cdf((x - 0.5) / std))


def rate(model, *, whitened=True):
    """Bits for each number of x; checks that the images come back."""
    stack, images = Stack(whitened=whitened), drawn()
    for x in images:
        model.push(stack, x)
    bits = stack.bits
    for x in images[::-1]:
        np.testing.assert_array_equal(model.pop(stack), x)
    assert abs(stack.bits) < 1e-9
    return bits / images.size


def test_with_the_exact_posterior_the_rate_is_the_entropy():
    exact = -log2_mass(drawn()).mean()
    np.testing.assert_allclose(rate(known_model()), exact, rtol=2e-3)


def test_without_borrowing_the_entropy_of_the_latent_is_paid():
    class Given(Gaussians):
        """Takes the mean, and no bits."""

        def pop(self, stack):
            return self._centre.reshape(self.mean.shape)

        def push(self, stack, value):
            pass

    model = known_model()
    taken = lambda x: Given(mean=(q := model.posterior(x)).mean, std=q.std, borrowed=True)
    apart = BitsBack(prior=model.prior, likelihood=model.likelihood, posterior=taken)
    assert rate(apart) > 1.2 * rate(model)


def test_bits_under_a_model_that_does_not_fit_are_whitened():
    wider = 1.6
    divergence = (0.5 * (wider**2 - 1) - np.log(wider)) / np.log(2)  # KL(q || posterior)
    bound = -log2_mass(drawn()).mean() + divergence
    np.testing.assert_allclose(rate(known_model(wider=wider)), bound, rtol=6e-3)
    assert rate(known_model(wider=wider), whitened=False) > 1.01 * bound


def test_whitening_is_undone_and_takes_no_bits():
    stack = Stack()
    stack.push(np.arange(500) % 7, *uniform(7, 500))
    before, words = stack.bits, stack.words
    for _ in range(200):
        stack.whiten(300.0)
    np.testing.assert_allclose(stack.bits, before, atol=0.2)
    changed = stack.words[-len(words) :]
    assert (changed != words).any()
    for _ in range(200):
        stack.unwhiten(300.0)
    np.testing.assert_array_equal(stack.words[-len(words) :], words)


def test_all_bits_of_a_large_draw_are_whitened():
    """Also those beyond the first period of the sequence: bits of a bad model are none there."""
    count, stack = 4 * 524_288 // 32, Stack()
    stack.push(np.zeros(4 * count, np.int64), *uniform(256, 4 * count))
    before = stack.words
    stack.whiten(32.0 * count)
    changed = stack.words[-len(before) :] ^ before
    for part in np.array_split(changed[-count:], 8):
        ones = np.unpackbits(part.view(np.uint8)).mean()
        assert abs(ones - 0.5) < 0.01
    stack.unwhiten(32.0 * count)
    np.testing.assert_array_equal(stack.words[-len(before) :], before)


def test_a_number_that_is_certain_takes_no_bits():
    stack, one = Stack(), Table(masses=np.ones((5, 1), np.float32), borrowed=True)
    stack.push(np.arange(50) % 7, *uniform(7, 50))
    before = stack.words
    np.testing.assert_array_equal(one.pop(stack), np.zeros(5))
    one.push(stack, np.zeros(5, np.int64))
    np.testing.assert_array_equal(stack.words, before)


def uniform(levels, count):
    table = Table(masses=np.full((count, levels), 1 / levels, np.float32))
    return table._family, table.masses


def test_everything_can_be_pushed_under_a_prior():
    rng = np.random.default_rng(1)
    std = np.exp(rng.normal(size=(5, 8)) * 3)
    mean = rng.normal(size=(5, 8)) * 1000
    far = np.rint(mean + rng.normal(size=(5, 8)) * 100 * std).astype(np.int64)
    stack, model = Stack(), Gaussians(mean=mean, std=std)
    model.push(stack, far)
    np.testing.assert_array_equal(model.pop(stack), far)
    assert abs(stack.bits) < 1e-9


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("std", [0.7, 900.0, 1.5e5, 3e6])
def test_a_number_costs_its_entropy_however_fine_the_bins(std, borrowed):
    rng, count = np.random.default_rng(2), 20_000
    mean = 100.0 * rng.normal(size=count)
    k = np.rint(mean + std * rng.normal(size=count)).astype(np.int64)
    model = Gaussians(mean=mean, std=np.full(count, std), borrowed=borrowed)
    stack, edges = Stack(), (k + np.array([[-0.5], [0.5]]) - mean) / std
    model.push(stack, k)
    mass = np.diff(stats.norm.cdf(edges), axis=0)
    assert abs(stack.bits / count + np.log2(mass).mean()) < 3e-3
    np.testing.assert_array_equal(model.pop(stack), k)
    assert abs(stack.bits) < 1e-6


def test_popped_latents_follow_their_distribution():
    stack, std = Stack(), np.array([0.3, 4.0, 90.0]).repeat(4000)
    k = Gaussians(mean=np.full(12_000, 0.25), std=std, borrowed=True).pop(stack)
    for scale in (0.3, 4.0, 90.0):
        part, edges = k[std == scale], np.arange(-600, 600)
        mass = np.diff(stats.norm.cdf((edges - 0.5 - 0.25) / scale))
        variance = (mass * edges[:-1] ** 2).sum() - (mass * edges[:-1]).sum() ** 2
        np.testing.assert_allclose(part.var(), variance, rtol=0.1)


def test_a_stack_of_a_file_ends_and_numbers_that_are_none_are_refused():
    words = Stack().words
    with pytest.raises(Unwritten):
        Gaussians(mean=np.zeros(100), std=np.ones(100)).pop(Stack(words))
    with pytest.raises(UserError, match="not finite"):
        Gaussians(mean=np.array([np.nan]), std=np.ones(1))
    with pytest.raises(UserError, match=r"fewer config\.codec\.bins"):
        Gaussians(mean=np.zeros(1), std=np.full(1, 1e7))
