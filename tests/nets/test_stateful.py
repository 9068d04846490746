"""Networks with state of their own: what plain flax's loop gives, and where none may be."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import draws, nets
from vdp.errors import UserError
from vdp.likelihoods import bernoulli
from vdp.models import classifier, hvae
from vdp.nets import stateful
from vdp.priors import flow, vdm
from vdp.settings import Optim
from vdp.training import optim, state, step
from vdp.training.checkpoint import Checkpoints
from vdp.types import Batch

OUT = (3,)


class Once(nn.Module):
    """BatchNorm with flax's own momentum."""

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        return nn.Dense(*out_shape)(nn.BatchNorm(use_running_average=not train)(x))


class Shared(nn.Module):
    """One BatchNorm that is called by its running averages, and then three times in training."""

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        norm = nn.BatchNorm(momentum=0.8)
        h = norm(norm(x, use_running_average=True) + x, use_running_average=not train)
        return nn.Dense(*out_shape)(norm(h * 3 + 2, not train) + norm(x * x, not train))


class Own(nn.BatchNorm):
    """A BatchNorm that is the network itself."""

    def __call__(self, x, out_shape, train=False):
        return super().__call__(x, use_running_average=not train)


class Block(nn.Module):
    train: bool

    @nn.compact
    def __call__(self, x, _=None):
        h = nn.Dense(x.shape[-1])(x)
        return x + nn.tanh(nn.BatchNorm(not self.train, momentum=0.7)(h)), None


CompiledBlock = nn.jit(Block)


class Lifted(nn.Module):
    """Blocks under a transformation: stacked by nn.scan, in nn.remat, in an nn.jit that caches."""

    kind: str

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        if self.kind == "scan":
            axes = {"params": 0, "batch_stats": 0}
            make = nn.scan(Block, variable_axes=axes, split_rngs={"params": True}, length=3)
        else:
            make = nn.remat(Block) if self.kind == "remat" else CompiledBlock
        return nn.Dense(*out_shape)(make(train)(x, None)[0])


class Spectral(nn.Module):
    """Statistics in "batch_stats" that are no BatchNorm's."""

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        return nn.SpectralNorm(nn.Dense(*out_shape))(x, update_stats=train)


class Counting(nn.Module):
    """Variables of its own in "batch_stats" and in another collection, integer and bool too."""

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        x = x.reshape(len(x), -1)
        calls = self.variable("counters", "calls", jnp.zeros, (), jnp.int32)
        odd = self.variable("counters", "odd", jnp.zeros, (), bool)
        centre = self.variable("batch_stats", "centre", jnp.zeros, x.shape[-1:])
        if train and not self.is_initializing():
            calls.value += 1
            odd.value = ~odd.value
            centre.value = 0.5 * centre.value + 0.5 * x.mean(0)
        h = nn.BatchNorm(use_running_average=not train)(x - centre.value[None])
        return nn.Dense(*out_shape)(nn.Dropout(0.5, deterministic=not train)(h))


def batches(num):
    return 5 + 2 * draws.normal(jax.random.key(1), (num, 32, 4))


def plain_flax(net, xs):
    """(last output, collections) of the loop that flax's documentation shows."""
    collections = net.init(jax.random.key(0), xs[0], OUT)
    params = collections.pop("params")

    @jax.jit
    def one(collections, x):
        variables, rngs = {"params": params, **collections}, {"dropout": jax.random.key(2)}
        return net.apply(variables, x, OUT, train=True, rngs=rngs, mutable=list(collections))

    for x in xs:
        output, collections = one(collections, x)
    return output, collections


def ours(net, xs):
    """(last output, running statistics, those of the last batch)."""
    params, stats = stateful.init(net, jax.random.key(0), xs[0], OUT)

    @jax.jit
    def one(stats, x):
        rngs = {"dropout": jax.random.key(2)}
        return stateful.apply(net, params, stats, x, OUT, train=True, rngs=rngs)

    for x in xs:
        output, statistics = one(stats, x)
        stats = statistics.running
    return output, stats, statistics.used


NETS = [Once(), Own(), Shared(), Spectral(), Counting(), *map(Lifted, ("scan", "remat", "jit"))]


@pytest.mark.parametrize("net", NETS, ids=lambda net: type(net).__name__ + getattr(net, "kind", ""))
def test_training_gives_the_statistics_of_plain_flax(net):
    xs = batches(20)
    ours(net, xs[:1])  # what a transformation may have cached of it
    output, stats, _ = ours(net, xs)
    expected, collections = plain_flax(net, xs)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    others = {name: tree for name, tree in collections.items() if name != "batch_stats"}
    expected = collections["batch_stats"] | ({stateful.OTHERS: others} if others else {})
    assert jax.tree.structure(stats) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_momentum_is_the_layers_and_the_batchs_own_statistics_are_at_hand():
    xs = batches(60)
    _, stats, used = ours(Once(), xs)
    shares = (1 - 0.99) * 0.99 ** np.arange(59, -1, -1)
    expected = np.tensordot(shares, xs.mean(1), 1)
    np.testing.assert_allclose(stats["BatchNorm_0"]["mean"], expected, rtol=1e-5)
    np.testing.assert_allclose(used["BatchNorm_0"]["mean"], xs[-1].mean(0), rtol=1e-5)
    np.testing.assert_allclose(used["BatchNorm_0"]["var"], xs[-1].var(0), rtol=1e-4)


def test_evaluation_changes_nothing():
    net, x = Counting(), batches(1)[0]
    params, stats = stateful.init(net, jax.random.key(0), x, OUT)
    _, statistics = stateful.apply(net, params, stats, x, OUT)
    assert statistics.used is stats
    assert statistics.running is stats


def test_the_average_is_written_so_that_a_constant_stays_itself():
    """And so the digits of earlier versions: old + (1 - momentum) * (new - old), momentum 0.9."""
    net, x = nets.DCGANEncoder(channels=(4, 8)), batches(1).reshape(2, 8, 8, 1)
    params, stats = stateful.init(net, jax.random.key(0), x, OUT)
    _, statistics = stateful.apply(net, params, stats, x, OUT, train=True)
    expected = jax.tree.map(lambda old, new: old + (1 - 0.9) * (new - old), stats, statistics.used)
    jax.tree.map(np.testing.assert_array_equal, statistics.running, expected)
    assert stats.keys() == {"BatchNorm_0"}, "as checkpoints have it"


def test_a_counter_is_trained_averaged_and_saved(tmp_path):
    model = classifier.make(net=Counting(), num_classes=2, input_levels=4)
    params, stats = model.init(jax.random.key(0), (2, 2, 1))
    assert stats["net"].keys() == {"BatchNorm_0", "centre", stateful.OTHERS}
    optimizer = optim.make(Optim(), 10, params)
    start = state.create(model, optimizer, jax.random.key(0), (2, 2, 1))
    images = jax.random.randint(jax.random.key(1), (8, 2, 2, 1), 0, 4).astype(jnp.uint8)
    batch = Batch(target=images, input=images, label=jnp.arange(8) % 2)

    def one(current, _):
        found = step.loss_and_gradients(model, current, batch, jax.random.key(2))
        return step.apply_gradients(current, *found, optimizer=optimizer, ema_decay=0.9)

    run = jax.jit(lambda current: jax.lax.scan(one, current, jnp.arange(3))[0], donate_argnums=0)
    final = run(run(jax.tree.map(jnp.copy, start)))
    for stats in (final.stats["net"], final.ema_stats["net"]):
        counters = stats[stateful.OTHERS]["counters"]
        assert (counters["calls"], counters["odd"]) == (6, False)
        assert (counters["calls"].dtype, counters["odd"].dtype) == (jnp.int32, bool)
    centre = images.reshape(8, 4).mean(0) / 1.5 - 1
    expected = centre * (1 - 0.5**6)
    np.testing.assert_allclose(final.stats["net"]["centre"], expected, rtol=1e-5)
    assert jnp.abs(final.ema_stats["net"]["centre"] - expected).max() > 1e-3, "averaged"

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(final, metric=-1.0)
    checkpoints.wait()
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shaped = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    restored = checkpoints.restore(6, jax.tree.map(shaped, final))
    checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, restored, final)


class Growing(nn.Module):
    """It keeps the batch, and sows."""

    kind: str

    @nn.compact
    def __call__(self, x, out_shape, train=False):
        if self.kind == "sow":
            self.sow("seen", "x", x)
        else:
            last = self.variable("seen", "x", jnp.zeros, ())
            if train:
                last.value = x
        return nn.Dense(*out_shape)(x)


@pytest.mark.parametrize("kind", ["sow", "shape"])
def test_what_would_not_stay_as_it_is_is_refused(kind):
    x = batches(1)[0]
    params, stats = stateful.init(Growing(kind), jax.random.key(0), x, OUT)
    with pytest.raises(UserError, match=r"Growing changes the shape or type .* seen "):
        stateful.apply(Growing(kind), params, stats, x, OUT, train=True)


class WithNorm(nn.Module):
    """Any network, behind a BatchNorm and a counter."""

    net: nn.Module

    @nn.compact
    def __call__(self, x, *args, **kwargs):
        self.variable("counters", "calls", jnp.zeros, ())
        return self.net(nn.BatchNorm(use_running_average=True)(x), *args, **kwargs)


def test_where_nothing_can_be_kept_it_is_said():
    key, says = jax.random.key(0), "WithNorm keeps batch_stats, counters, which {} cannot have: "
    prior = vdm.make(denoiser=WithNorm(nets.MLPDenoiser(width=4, depth=1)), schedule=None)
    with pytest.raises(UserError, match=says.format("a denoiser")):
        prior.init(key, (2,))
    with pytest.raises(UserError, match=says.format("a step of a flow")):
        flow.make(net=WithNorm(nets.MADE(width=4))).init(key, (2,))
    ladder = hvae.make(
        encoder=WithNorm(nets.LadderEncoder(width=4, hidden=4, blocks=1)),
        decoder=nets.LadderDecoder(width=4, hidden=4),
        likelihood=bernoulli.make(),
        scales=((2, 1, 1),),
        input_levels=2,
    )
    with pytest.raises(UserError, match=says.format("an encoder of a hierarchy")):
        ladder.init(key, (4, 4, 1))
