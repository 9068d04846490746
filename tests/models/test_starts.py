"""Parameters as they start, which other tests move first: no start keeps a model where it is."""

import jax
import numpy as np
import pytest
from starting import started

from vdp import build
from vdp.errors import UserError
from vdp.types import Batch

SHAPE, LEVELS = (8, 8, 1), 17
ENCODERS = [
    dict(name="MLP", width=8, depth=1),
    dict(name="ConvEncoder", channels=(4,), hidden=8),
    dict(name="DCGANEncoder", channels=(4,)),
    dict(name="FeedForward", widths=(8,)),
]


def batch_of():
    images = np.random.default_rng(0).integers(0, LEVELS, (4, *SHAPE)).astype(np.uint8)
    return Batch(target=images, input=images, label=np.zeros(4, np.int32))


def built(**spec):
    model = build.build("model", spec, levels=LEVELS, input_levels=LEVELS)
    return model, *started(model, jax.random.key(0), SHAPE)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda spec: spec["name"])
def test_an_autoencoder_learns_from_its_first_step(encoder):
    """A code that is the same for all images would stay so: there is no noise that moves it."""
    model, params, stats = built(
        name="ae",
        latent_shape=(3,),
        encoder=encoder,
        decoder=dict(name="FeedForward", widths=(8,)),
    )
    batch, key = batch_of(), jax.random.key(1)
    loss = lambda params: model.loss(params, stats, batch, key, step=0, train=True)[0].mean()
    moving = jax.tree.leaves(jax.grad(loss)(params)["encoder"])
    assert any(np.abs(leaf).max() > 0 for leaf in moving)


def test_components_of_a_mixture_are_told_apart_from_the_start():
    """Those that start alike get one gradient, and are one logistic for ever."""
    model, params, stats = built(
        name="vae",
        latent_shape=(3,),
        encoder=ENCODERS[0],
        decoder=dict(name="MLP", width=8, depth=1),
        prior=dict(name="normal"),
        likelihood=dict(name="logistic_mixture", num_components=4),
    )
    batch, key = batch_of(), jax.random.key(1)
    loss = lambda params: model.loss(params, stats, batch, key, step=0, train=True)[0].mean()
    last = max(name for name in params["decoder"]["net"] if name.startswith("Dense"))
    kernel = params["decoder"]["net"][last]["kernel"]
    assert np.abs(kernel).max() > 0
    of_components = np.asarray(jax.grad(loss)(params)["decoder"]["net"][last]["bias"])
    by_feature = np.unique(of_components.reshape(64, -1).round(9), axis=1)
    assert by_feature.shape[1] > 4, "the gradients of components differ"


def test_log_variances_of_a_ladder_start_where_they_have_a_gradient():
    fields = dict(
        name="hvae",
        scales=((4, 1, 1),),
        encoder=dict(name="LadderEncoder", width=4, hidden=4, blocks=1),
        decoder=dict(name="LadderDecoder", width=4, hidden=4),
        prior=None,
        likelihood=dict(name="discretized_logistic", scale="learned"),
    )
    with pytest.raises(UserError, match="have to contain"):
        built(**fields, log_var_q=(-10.0, -1.0))
    fields["decoder"]["zero"] = "last"
    built(**fields, log_var_q=(-10.0, -1.0))
