"""What presets choose by the likelihood and by the prior, and what a second stage holds of it."""

import pytest

from vdp import config, variants


@pytest.mark.parametrize("name", ["digits_dcgan", "mnist_dcgan", "cifar10_dcgan", "celeba_dcgan"])
def test_dcgan_decoders_bound_the_means_of_gaussians_alone(name):
    """A discretised likelihood has mass at the edges only where a location goes beyond them."""
    named = [f"{name}:likelihood={other}" for other in ("normal", "discretized_logistic")]
    for argument in named if name in ("cifar10_dcgan", "celeba_dcgan") else [name]:
        cfg = config.load(argument)
        bounded = cfg.model.likelihood.name == "normal"
        assert cfg.model.decoder.output == ("tanh" if bounded else "linear")
        assert cfg.model.likelihood.scale == "learned"
        assert cfg.optim.groups["decoder/likelihood"] == 20.0
    predicted = config.load("mnist_models:model=vae")
    assert predicted.model.decoder.output == "linear"
    assert "decoder/likelihood" not in predicted.optim.groups


def test_points_of_priors_move_faster_than_networks_and_a_frozen_autoencoder_not_at_all():
    for prior, rate in (("vamp", 100), ("mixture", 10), ("normal", 1), ("vdm", 1)):
        for name in ("digits_dcgan", "mnist_vae", "digits_vae", "mnist_mlp_vae"):
            assert config.load(f"{name}:prior={prior}").optim.groups.prior == rate, name
    held = config.load("digits_dcgan:prior=vamp,training=prior").optim.groups
    assert (held.encoder, held.decoder, held["decoder/likelihood"], held.prior) == (0, 0, 0, 100)


@pytest.mark.parametrize("form", variants.PRIOR_CHOICES["form"])
def test_a_diffusion_over_flat_latents_looks_at_four_times_of_an_image_in_a_step(form):
    assert config.load(f"mnist_dcgan:form={form}").model.prior.train_times == 4
    assert config.load("digits_dvp").model.prior.train_times == 1  # its denoiser is not small


def test_a_learned_range_of_noise_starts_where_it_is_needed():
    """Of the merged form gamma_0 is the posterior's log-variance, and moves by the rate a step."""
    for argument, start, most in (
        ("digits_vae", -7.0, -5.0),
        ("digits_vae:form=merged", -3.0, None),
        ("digits_vae:form=merged,schedule=linear", -7.0, None),  # which stays where it is
    ):
        schedule = config.load(argument).model.prior.schedule
        assert (schedule.gamma_0, schedule.get("gamma_0_max")) == (start, most), argument


def test_a_gaussian_over_a_fixed_code_learns_its_moments():
    """An encoder can make its latents N(0, I); a pseudo-input has the moments it has."""
    for argument, learned in (
        ("digits_dvp:prior=normal", True),
        ("digits_dvp:prior=normal,pseudoinput=none", False),
        ("digits_vae:prior=normal", False),
    ):
        assert config.load(argument).model.prior.learned == learned, argument
