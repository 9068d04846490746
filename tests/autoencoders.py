"""Small autoencoders whose errors and Jacobians have closed forms."""

import functools

import jax
import numpy as np
from starting import started

from vdp import build, draws
from vdp.types import Batch

X_SHAPE, LEVELS, NUM = (3, 2, 1), 17, 5
OPTIONS = {
    "plain": {},
    "denoising": {"corruption": 0.3, "masking": 0.4},
    "robust": {"radius": 0.7, "ascent_steps": 4},
    "contractive": {"weight": 0.3},
}


def autoencoder(kind, net="toys.Affine", *, latent_shape=(3,), levels=LEVELS, **fields):
    """(model, params, stats) with weights of size one."""
    nets = {part: {"name": net} for part in ("encoder", "decoder")}
    options = OPTIONS[kind] | {k: fields.pop(k) for k in OPTIONS[kind] if k in fields}
    spec = {"name": "ae", "kind": kind, "latent_shape": latent_shape, **nets, **options, **fields}
    model = build.build("model", spec, levels=levels, input_levels=LEVELS)
    params, stats = started(model, jax.random.key(0), X_SHAPE)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [0.5 * draws.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return model, jax.tree.unflatten(tree, leaves), stats


def batch_of(num=NUM, seed=0):
    images = np.random.default_rng(seed).integers(0, LEVELS, (num, *X_SHAPE)).astype(np.uint8)
    return Batch(target=images, input=images, label=np.zeros(num, np.int32))


def scaled(batch):
    return np.asarray(batch.input, np.float64) / (LEVELS - 1)


def affine_map(params):
    """(A, b) with f(g(x)) = x A + b on flattened images in [0, 1]: nets see and give [-1, 1]."""
    first, second = (jax.tree.map(np.float64, params[k]["Dense_0"]) for k in ("encoder", "decoder"))
    both = first["kernel"] @ second["kernel"]
    bias = (first["bias"] - first["kernel"].sum(0)) @ second["kernel"] + second["bias"]
    return both, (bias + 1) / 2


def squares(x):
    return (x.reshape(len(x), -1) ** 2).sum(1)


def loss_of(model, params, stats, batch, noise=None, *, key=2, train=True):
    loss = jax.jit(functools.partial(model.loss, step=0, train=train))
    return loss(params, stats, batch, jax.random.key(key), noise=noise)


def reconstructed(params, images):
    both, bias = affine_map(params)
    return (images.reshape(len(images), -1) @ both + bias).reshape(images.shape)
