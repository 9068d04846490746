"""Gradients of 3x3 convolutions: XLA's own against ours, as shares of this machine's speed.

    python -m benchmarks.convolutions [--batch=N]

GFLOP/s of the convolution, of its gradient by the input and of its gradient by the kernel (XLA's,
and the one of vdp.nets.same_conv, on CPU by matrix products), in one run with the speed of a large
matrix product.
"""

import jax

from benchmarks import command
from benchmarks.common import milliseconds, report, time_in_turn
from vdp.errors import Parser
from vdp.nets import same_conv

SHAPES = ((28, 32), (14, 32), (7, 32), (16, 96))  # side of the maps, channels


def gradient(convolve, by):
    """Function (x, kernel, g) -> g pulled back to x (`by` 0) or to the kernel (1)."""
    return lambda x, kernel, g: jax.vjp(convolve, x, kernel)[1](g)[by]


def main():
    """Prints one JSON line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--batch", type=int, default=250)
    batch = parser.parse_args().batch
    results = {}
    square = jax.random.normal(jax.random.key(0), (2048, 2048))
    for side, channels in SHAPES:
        x, g = jax.random.normal(jax.random.key(1), (2, batch, side, side, channels))
        kernel = jax.random.normal(jax.random.key(2), (3, 3, channels, channels))
        functions = {
            "matrix product": (lambda a: a @ a, (square,)),
            "forward": (same_conv.conv3x3, (x, kernel)),
            "by input": (gradient(same_conv.conv3x3, 0), (x, kernel, g)),
            "by kernel, XLA's": (gradient(same_conv._convolution, 1), (x, kernel, g)),
            "by kernel, ours": (gradient(same_conv.conv3x3, 1), (x, kernel, g)),
        }
        cases = {
            name: lambda f=jax.jit(f), a=arguments: jax.block_until_ready(f(*a))
            for name, (f, arguments) in functions.items()
        }
        ms = milliseconds(time_in_turn(cases, rounds=7))
        flops = dict.fromkeys(ms, 2 * x.size * 9 * channels) | {"matrix product": 2 * 2048**3}
        results[f"{side}x{side}, {channels} channels"] = {
            name: round(flops[name] / ms[name] / 1e6, 1) for name in ms
        }
    report("convolutions", {"batch": batch, "gflop_per_second": results})


if __name__ == "__main__":
    command.run(main)
