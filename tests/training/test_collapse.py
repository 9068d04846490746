"""What latents carry at validations, and when a collapse is said."""

import numpy as np
import pytest

from vdp.dists import Normal
from vdp.metrics import latents
from vdp.runtime.metric_log import read_metrics
from vdp.training.collapse import Watch

NUM = 40
SPEC = {"name": "toy", "beta": 1.0, "kl_warmup_steps": 20}


class Flat:
    """A model of one latent."""

    names: tuple[str, ...] = ("z",)
    discrete, bound_model = True, "exact"
    init = draw = loss = elbo = encode = latent_means = lambda *_: None

    def latent_table(self, x_shape):
        return [{"name": name, "units": 4} for name in self.names]


class Ladder(Flat):
    """A hierarchy of latents z_3 to z_1 under a pseudo-input."""

    names = ("z_3", "z_2", "z_1")
    scales, input_levels, pseudoinput, prior, shows_prior = (), 2, object(), None, True
    code = sample_prior = prior_shape = prior_images = reconstruct = sample = lambda *_: None


def posterior(rate, seed=0):
    """(q, its exact rate to N(0, I), [NUM]) over [NUM, 2, 2] with about `rate` nats."""
    means = np.random.default_rng(seed).normal(size=(NUM, 2, 2)).astype("f")
    means *= np.sqrt(2 * rate / 4)
    q = Normal(means, np.zeros_like(means))
    return q, np.asarray(q.kl(Normal(np.zeros_like(means), np.zeros_like(means))))


def validation(**by_name):
    """(parts, q) of a bound whose latents have about these rates."""
    made = {name: posterior(rate, len(name)) for name, rate in by_name.items()}
    parts = {name: -rate for name, (_, rate) in made.items()}
    return {"likelihood": -np.ones(NUM), **parts}, {name: q for name, (q, _) in made.items()}


@pytest.mark.parametrize(("rate", "says"), [(0.0, True), (4.0, False)])
def test_a_posterior_that_is_the_prior_is_said_once(rate, says):
    watch = Watch(Flat(), (8, 8, 1), SPEC)
    parts, q = validation(kl=rate)
    said = [watch.measure(step, parts, q["kl"])[2] for step in (0, 10, 20, 30, 40, 50)]
    assert [bool(sentence) for sentence in said] == [False] * 3 + [says] + [False] * 2
    if says:
        assert said[3].startswith(
            "posterior collapse at step 30: next to nothing of an image is in z (0 nats); a lower"
        )
        assert "config.model.beta or a longer KL warm-up" in said[3]


def test_levels_are_named_and_rates_belong_to_them():
    watch = Watch(Ladder(), (8, 8, 1), {})
    parts, q = validation(z_3=3.0, z_2=0.0, z_1=1e-3)
    parts |= {"u_diffusion": -np.full(NUM, 2.0), "u_latent_1": -np.full(NUM, 0.5)}
    values, histograms, first = watch.measure(10, parts, q)
    assert first == ""
    assert watch.measure(20, parts, q)[2].startswith(
        "posterior collapse at step 20: next to nothing of an image is in z_2 (0 nats), z_1 (0.0"
    )
    assert values["rate_u"] == pytest.approx(2.5)
    assert values["rate_z_3"] == pytest.approx(-parts["z_3"].mean())
    np.testing.assert_array_equal(histograms["rate_z_3"], -parts["z_3"])
    assert histograms["posterior_std_z_1"].shape == (4,)
    assert values["posterior_std"] == pytest.approx(1.0)
    assert values["active_units"] == pytest.approx(4 / 12)
    parts, q = validation(z_3=0.0, z_2=0.0, z_1=3.0)
    parts["u_diffusion"] = -np.ones(NUM)
    watch.measure(30, parts, q)
    assert "is in z_3 (0 nats) of 4 latents" in watch.measure(20, parts, q)[2]


def test_codes_that_are_alike_are_dead_whatever_the_bound_says():
    """A rate that is an upper bound may lie above 0; and a small scale alone is no collapse."""
    q = Normal(np.full((NUM, 3), 2.0), np.zeros((NUM, 3)))
    assert latents.signal(q) == 0
    small = Normal(1e-3 * np.random.default_rng(0).normal(size=(NUM, 3)), np.full((NUM, 3), -20.0))
    assert latents.signal(small) == pytest.approx(1.5 * np.log1p(1e-6 * np.exp(20)), rel=0.1)
    means = np.random.default_rng(0).normal(size=(4000, 784)) * 0.005**0.5
    many = latents.signal(Normal(means, np.zeros_like(means)))  # each unit carries next to nothing
    assert many == pytest.approx(784 * np.log1p(0.005) / 2, rel=0.02)
    assert latents.signal(Normal(np.ones((1, 3)), np.zeros((1, 3)))) == np.inf
    parts = {"likelihood": -np.ones(NUM), "diffusion": -np.ones(NUM)}
    for code, says in ((q, True), (small, False)):
        watch = Watch(Flat(), (8, 8, 1), {})
        assert watch.measure(1, parts, code)[2] == ""
        assert bool(watch.measure(2, parts, code)[2]) == says


def test_rates_of_a_bound_are_its_parts():
    parts = {"likelihood": -9.0, "z_1": -1.0, "z_10": -2.0, "z_10_entropy": 0.5}
    assert latents.rates(parts, ["z_10", "z_1", "z_2"]) == {"z_10": 1.5, "z_1": 1.0}
    assert latents.rates({"likelihood": -9.0, "kl": -1.0, "more": -2.0}, ["z"]) == {"z": 3.0}
    assert latents.rates({"squared": -9.0}, ["z"]) == {}


def test_a_validation_looks_at_posteriors_and_logs_them(smoke_run):
    first, *_, last = (m for m in read_metrics(smoke_run / "metrics.jsonl") if "eval/elbo" in m)
    for line in (first, last):
        rate = line["eval/likelihood"] - line["eval/elbo"]
        assert line["eval/rate_z"] == pytest.approx(rate, abs=1e-3)
        assert 0 <= line["eval/active_units"] <= 1
        assert line["eval/posterior_std"] > 0
