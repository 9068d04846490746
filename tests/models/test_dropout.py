"""Every net of a model drops units of its own: two with one key would drop the same."""

import jax
import numpy as np
import pytest
from starting import started
from toys import Dropping

from vdp import build
from vdp.types import Batch

SHAPE = (2, 2, 1)
MODELS = {
    "vae": dict(prior={"name": "normal"}, likelihood={"name": "bernoulli"}),
    "ae": dict(kind="plain"),
    "ae-contractive": dict(kind="contractive", weight=0.1),
}


@pytest.mark.parametrize("name", MODELS)
def test_encoder_and_decoder_have_different_keys(name):
    nets = dict(encoder={"name": "toys.Dropping"}, decoder={"name": "toys.Dropping"})
    spec = dict(name=name.split("-")[0], latent_shape=(4,)) | nets | MODELS[name]
    model = build.build("model", spec, levels=2, input_levels=2)
    params, stats = started(model, jax.random.key(0), SHAPE)
    images = np.zeros((3, *SHAPE), np.uint8)
    batch = Batch(target=images, input=images, label=np.zeros(3, np.int32))
    Dropping.keys.clear()
    model.loss(params, stats, batch, jax.random.key(1), step=0, train=True)
    first, second = (jax.random.key_data(key) for key in Dropping.keys)
    assert (first != second).any()
