"""What `remat` keeps of a forward pass, and what it does not compute twice."""

import jax
import jax.numpy as jnp
import pytest

from vdp.nets.ladder import LadderEncoder
from vdp.nets.unet import UNetDenoiser

X = jnp.zeros((2, 8, 8, 3))
TIME = jnp.zeros(2)
SCALES = ((4, 1, 1), (2, 1, 1))
ladder = lambda remat, by: LadderEncoder(width=6, hidden=4, blocks=3, remat=remat, blocks_by=by)
unet = lambda remat: UNetDenoiser(width=16, depth=1, remat=remat)


def gradient_of(net, *inputs):
    """(shapes kept for the backward pass, text of the gradient's program)."""
    params = jax.eval_shape(lambda rng: net.init(rng, *inputs), jax.random.key(0))
    apply = lambda params: net.apply(params, *inputs, train=True)
    kept = jax.eval_shape(lambda params: jax.vjp(apply, params)[1], params)
    total = lambda params: sum(out.sum() for out in jax.tree.leaves(apply(params)))
    program = jax.jit(jax.grad(total)).lower(params).as_text()
    return [leaf.shape for leaf in jax.tree.leaves(kept)], program


@pytest.mark.parametrize("by", ["scan", "loop"])
def test_a_ladder_keeps_the_inputs_and_the_narrow_convolutions_of_its_blocks(by):
    kept, _ = gradient_of(ladder(True, by), X, SCALES)
    maps = sorted(shape for shape in kept if shape[:2] == (3, 2))  # of three blocks, two images
    of_scale = lambda side: [(3, 2, side, side, 4)] * 3 + [(3, 2, side, side, 6)]
    assert maps == sorted(of_scale(8) + of_scale(4))


def test_a_unet_keeps_half_as_many_maps():
    full = lambda net: sum(shape[:3] == (2, 8, 8) for shape in gradient_of(net, X, TIME)[0])
    assert full(unet(True)) < 0.5 * full(unet(False))


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        pytest.param(lambda remat: ladder(remat, "loop"), (X, SCALES), id="ladder"),
        pytest.param(unet, (X, TIME), id="unet"),
    ],
)
def test_no_convolution_of_a_block_is_computed_again(net, inputs):
    again, once = (
        gradient_of(net(remat), *inputs)[1].count("stablehlo.convolution")
        for remat in (True, False)
    )
    assert again == once > 0
