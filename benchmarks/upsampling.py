"""Ways of doubling a feature map: forward and gradient time of each, in one run.

    python -m benchmarks.upsampling [--batch=N]

A transposed convolution (4x4, stride 2), the same map as a matrix product, and a sub-pixel one
(3x3, then depth to space) with the same input and output shapes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks import command
from benchmarks.common import milliseconds, report, time_in_turn
from vdp.errors import Parser
from vdp.nets.conv import TransposedConv, depth_to_space


class SubPixel(nn.Module):
    """3x3 convolution to 4C channels, then depth to space."""

    features: int

    @nn.compact
    def __call__(self, x):
        """[B, H, W, .] to [B, 2H, 2W, features]."""
        return depth_to_space(nn.Conv(4 * self.features, (3, 3))(x))


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    batch = parser.parse_args().batch
    x = jnp.ones((batch, 7, 7, 64))
    bodies = {
        "transposed": nn.ConvTranspose(64, (4, 4), (2, 2)),
        "product": TransposedConv(64),
        "sub-pixel": SubPixel(64),
    }
    cases = {}
    for name, body in bodies.items():
        params = body.init(jax.random.key(0), x)
        forward = jax.jit(body.apply)
        gradient = jax.jit(jax.grad(lambda p, x, b=body: jnp.sum(b.apply(p, x) ** 2), (0, 1)))
        cases[f"{name}, forward"] = lambda f=forward, p=params: jax.block_until_ready(f(p, x))
        cases[f"{name}, gradient"] = lambda g=gradient, p=params: jax.block_until_ready(g(p, x))
    ms = milliseconds(time_in_turn(cases, rounds=5, repeats=2))
    slow = ms["transposed, gradient"]
    ratios = {name: round(slow / ms[f"{name}, gradient"], 2) for name in ("product", "sub-pixel")}
    report("upsampling", {"ms": ms, "transposed_over": ratios})


if __name__ == "__main__":
    command.run(main)
