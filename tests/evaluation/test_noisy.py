"""When an IWAE is called noisy, and that no summary shows it without the word."""

import numpy as np
import pytest
from scipy.special import logsumexp

from launch import plot, table
from vdp.evaluation import estimators, index, noisy, report
from vdp.export import card

RNG = np.random.default_rng(0)


def sizes(log_w):
    """Effective sample sizes of log-weights [K, N]."""
    return np.exp(2 * logsumexp(log_w, axis=0) - logsumexp(2 * log_w, axis=0))


@pytest.mark.parametrize("num", [2, 8, 64, 1000])
def test_near_constant_weights_are_believed_and_heavy_tails_are_not(num):
    constant = estimators.enough_weights(sizes(0.1 * RNG.normal(size=(num, 300))), num)
    assert constant == {"ess_low": 0.0, "noisy": False}
    pareto = RNG.exponential(size=(num, 300)) / 0.3  # weights of tail index 0.3: without a mean
    heavy = estimators.enough_weights(sizes(pareto), num)
    assert heavy["noisy"]
    assert heavy["ess_low"] > 0.4


def test_one_weight_says_nothing_and_few_images_of_many_pass():
    assert estimators.enough_weights(np.ones(5), 1) == {"ess_low": 1.0, "noisy": True}
    ess = np.full(100, 40.0)
    ess[:10] = 1.5
    assert estimators.enough_weights(ess, 64) == {"ess_low": 0.1, "noisy": False}
    ess[:11] = 1.5
    assert estimators.enough_weights(ess, 64) == {"ess_low": 0.11, "noisy": True}


def entry(model="T=50", ess=3.3, **more):
    weight = "path" if model.startswith("T=") else model
    about = {"k": 32, "ess": ess, "weight": weight, "model": model}
    return about | {"nats": {"mean": -80.0, "se": 0.1}, "bits_per_dim": None, **more}


NOISY = {"noisy": True, "ess_low": 0.82}


def test_the_words_say_that_it_is_loose_and_what_helps():
    words = noisy.in_words(entry(**NOISY))
    assert "for 82 % of the images" in words
    assert "lower bound is loose by an unknown amount" in words
    assert words.endswith("raise eval.iwae_samples or use iwae_ode")
    assert noisy.in_words(entry("exact", **NOISY)).endswith("raise eval.iwae_samples")
    of_flows = entry(**NOISY) | {"model": "T=4, trajectory"}
    assert noisy.in_words(of_flows).endswith("raise eval.iwae_samples")
    assert noisy.in_words(entry(noisy=False, ess_low=0.0)) == ""


def test_results_of_older_versions_are_judged_by_their_mean():
    assert noisy.is_noisy(entry(ess=3.3))
    assert noisy.in_words(entry(ess=3.3)).startswith("too few of the weights count, so")
    assert not noisy.is_noisy(entry(ess=7.4))
    assert not noisy.is_noisy(entry("not a bound", ess=1.1))
    assert not noisy.is_noisy({"nats": {}, "model": "exact"})
    assert not noisy.is_noisy(None)


def result(**estimators):
    missing = dict.fromkeys(("fid", "latents", "rates", "interpolation", "accuracy", "mse"))
    about = {"step": 20, "checkpoint": "best", "split": "test", "num_examples": 64}
    return {**missing, **about, "settings": {}, "estimators": estimators}


def test_every_summary_carries_the_word():
    doubted, believed = result(iwae=entry(**NOISY)), result(iwae=entry(noisy=False, ess_low=0.0))
    run = lambda values: table.Result(
        {"prior": "vdm"}, 0, index.pathlib.Path(), "finished", {}, values
    )
    shown = {
        "report": lambda values: "\n".join(report.in_words(values)),
        "headline": report.headline,
        "table": lambda values: table.markdown([run(values)]),
        "legend": lambda values: plot._legend("iwae", [run(values)]),
        "card": card._estimates,
        "hub": lambda values: card._metrics(values)[0]["name"],
    }
    for name, show in shown.items():
        assert "noisy" in show(doubted), name
        assert "noisy" not in show(believed), name
    assert "(T=50, K=32, noisy, density)" in shown["table"](doubted)
