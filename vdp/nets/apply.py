"""Nets with and without running statistics behind one pair of functions."""

import flax.linen as nn

from vdp.types import Array, Params, Stats


def init(net: nn.Module, rng: Array, *args) -> tuple[Params, Stats]:
    """(params, running statistics) of a net called with `args`; either may be {}."""
    variables = net.init(rng, *args)
    return variables.get("params", {}), variables.get("batch_stats", {})


def apply(
    net: nn.Module, params: Params, stats: Stats, *args, train: bool = False, rngs=None
) -> tuple[Array, Stats]:
    """(output, new statistics); in training the batch's own statistics are used and averaged in."""
    variables = {"params": params, "batch_stats": stats}
    if not (train and stats):
        return net.apply(variables, *args, train=train, rngs=rngs), stats
    output, updated = net.apply(variables, *args, train=True, rngs=rngs, mutable=["batch_stats"])
    return output, updated["batch_stats"]
