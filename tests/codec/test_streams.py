"""Images of untrained models of every kind come back bit for bit, at the cost of their bound."""

import dataclasses
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp import build, codec
from vdp.codec import container, pixels
from vdp.errors import UserError
from vdp.metrics import score
from vdp.types import Batch

pytest.importorskip("constriction")  # of the extra `codec`

LEVELS = 5
DIFFUSION = {
    "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1},
    "schedule": {"name": "linear", "gamma_0": -5.0, "gamma_1": 5.0},
    "num_steps": 20,  # wide steps would cost at most 24 bits a number, less than the bound
}
PRIORS = {
    "normal": {"name": "normal", "learned": True},
    "mixture": {"name": "mixture", "num_components": 3},
    "vamp": {"name": "vamp", "num_components": 3},
    "separate": {"name": "vdm", "form": "separate"} | DIFFUSION,
    "merged": {"name": "vdm", "form": "merged"} | DIFFUSION,
    "learned": {"name": "vdm", "bound": "discrete", "reverse": "learned"} | DIFFUSION,
    "ddpm": {"name": "ddpm", "denoiser": DIFFUSION["denoiser"], "num_steps": 20},
    "flow": {"name": "flow", "net": {"name": "MADE", "width": 4, "depth": 1}},
}
LADDER = {
    "name": "hvae",
    "scales": ((4, 1, 2), (2, 2, 2)),
    "encoder": {"name": "LadderEncoder", "width": 4, "hidden": 4, "blocks": 1},
    "decoder": {"name": "LadderDecoder", "width": 4, "hidden": 4, "zero": "last"},
    "likelihood": {"name": "logistic_mixture", "num_components": 2},
}
PIXELS = {"name": "pixel", "prior": PRIORS["merged"], "likelihood": {"name": "categorical"}}
DENOISED = {
    "name": "pixel", "prior": PRIORS["ddpm"] | {"form": "merged"}, "location": "denoised",
    "likelihood": {"name": "discretized_normal"},
}  # fmt: skip


def vae(prior="normal", likelihood="discretized_logistic", **fields):
    return {
        "name": "vae", "latent_shape": (3,), "prior": PRIORS[prior], "log_var_floor": -4.0,
        "encoder": {"name": "toys.Curved"}, "decoder": {"name": "toys.Curved"},
        "likelihood": {"name": likelihood} | fields,
    }  # fmt: skip


def of(spec_of, *args, channels=1, levels=LEVELS):
    """A codec of an untrained model, its parameters moved away from their start."""
    shape = (4, 4, channels)
    spec = spec_of(*args) if callable(spec_of) else dict(spec_of)
    model = build.build("model", spec, levels=levels, input_levels=levels)
    params, stats = started(model, jax.random.key(0), shape)
    return codec.Codec(
        model=model, params=moved(params), stats=stats, x_shape=shape,
        levels=levels, about="untrained",
    )  # fmt: skip


def images(num, channels=1, levels=LEVELS):
    rng = np.random.default_rng(0)
    return rng.integers(0, levels, size=(num, 4, 4, channels)).astype(np.uint8)


def ladder(**fields):
    return tuple((LADDER | fields).items())


KINDS = {
    "vae": ((vae, "normal"), {}),
}  # fmt: skip
SLOW = {
    "mixture": ((vae, "mixture"), {}),
    "vamp, 0/1": ((vae, "vamp", "bernoulli"), {"levels": 2}),
    "pseudo-inputs": (
        (ladder(pseudoinput={"name": "downsample", "size": 2, "antialias": False},
                prior=PRIORS["separate"]),), {},
    ),
    "separate": ((vae, "separate", "discretized_normal"), {}),
    "merged, colours": ((vae, "merged", "logistic_mixture"), {"channels": 3}),
    "ladder": ((ladder(),), {}),
    "a prior over z_L": ((ladder(prior=PRIORS["separate"], log_var_q=(-4.0, 1.0)),), {}),
    "a flow over z_L": ((ladder(prior=PRIORS["flow"]),), {}),
    "pseudo-inputs of z_L": ((ladder(prior=PRIORS["vamp"]),), {}),
    "pixels": ((tuple(PIXELS.items()),), {}),
    "pixels by a table of betas, colours": ((tuple(DENOISED.items()),), {"channels": 3}),
    "ddpm": ((vae, "ddpm"), {}),
    "flow": ((vae, "flow"), {}),
}  # fmt: skip


def check_kind(args, sizes):
    one = of(*args, **sizes)
    x = images(7, **{k: v for k, v in sizes.items()})
    encoded = codec.compress(one, x, lanes=3)
    assert encoded.bits.shape == (3,)
    np.testing.assert_array_equal(codec.decompress(one, encoded.content), x)


@pytest.mark.parametrize("kind", KINDS)
def test_images_come_back(kind):
    check_kind(*KINDS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_images_of_other_models_come_back(kind):
    check_kind(*SLOW[kind])


def bound(one, x):
    """Bits of images under the coded model's bound, at 16 draws each."""
    model = one.model.discretized()
    batch = jax.tree.map(jnp.asarray, Batch(target=x, input=x, label=np.zeros(len(x), np.int32)))
    value = lambda key: score.flat_terms(model, one.params, one.stats, batch, key)["value"]
    values = jax.jit(jax.vmap(value))(jax.random.split(jax.random.key(3), 16))
    return -np.asarray(values, np.float64).mean(0) / np.log(2)


def test_the_rate_is_the_bound():
    one, x = of(vae, "normal", "bernoulli", levels=2), images(1000, levels=2)
    bits = codec.compress(one, x, lanes=50).bits.sum()
    np.testing.assert_allclose(bits, bound(one, x).sum(), rtol=1e-2)


INSIDE = dict(  # posteriors inside p: numbers that do not fit cost 56 bits at most, the bound more
    log_var_q=(-3.0, 0.0), log_var_p=(0.0, 1.0), likelihood={"name": "bernoulli"},
    decoder=LADDER["decoder"] | {"zero": "all"},
)  # fmt: skip
CODE = {"name": "downsample", "size": 2, "antialias": False}
OTHERS = {
    "a ladder": (ladder(**INSIDE), 2),
    "pseudo-inputs": (ladder(pseudoinput=CODE, prior=PRIORS["separate"], **INSIDE), 2),
    "pixels": (tuple(PIXELS.items()), LEVELS),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_the_rate_is_the_bound_of_what_else_is_coded(kind):
    spec, levels = OTHERS[kind]
    one, x = of(spec, levels=levels), images(1000, levels=levels)
    bits = codec.compress(one, x, lanes=50).bits.sum()
    np.testing.assert_allclose(bits, bound(one, x).sum(), rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["mixture", "separate", "merged", "learned", "ddpm", "flow"])
def test_the_rate_is_the_bound_of_the_same_model(prior):
    one, x = of(vae, prior, "bernoulli", levels=2), images(1000, levels=2)
    bits = codec.compress(one, x, lanes=50).bits.sum()
    np.testing.assert_allclose(bits, bound(one, x).sum(), rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["separate", "flow", "vamp"])
def test_the_rate_is_the_bound_of_a_prior_over_the_coarsest_latent(prior):
    one, x = of(ladder(prior=PRIORS[prior], **INSIDE), levels=2), images(1000, levels=2)
    bits = codec.compress(one, x, lanes=50).bits.sum()
    np.testing.assert_allclose(bits, bound(one, x).sum(), rtol=1e-2)


def test_masses_are_those_of_the_likelihood_channel_by_channel():
    x = images(2, channels=3)
    for name in ("logistic_mixture", "discretized_logistic"):
        likelihood = build.build("likelihood", {"name": name}, levels=LEVELS)
        outputs = jax.random.normal(jax.random.key(0), (2, 4, 4, likelihood.num_outputs(3)))
        total = np.zeros(2)
        for channel in range(3):
            table = np.asarray(pixels.masses(likelihood, outputs, x.astype(np.int32), channel))
            np.testing.assert_allclose(table.sum(-1), 1, rtol=1e-5)
            chosen = x[..., channel].reshape(2, -1, 1).astype(np.int64)
            total += np.log(np.take_along_axis(table, chosen, axis=2)).sum((1, 2))
        np.testing.assert_allclose(total, likelihood.log_prob(outputs, x), rtol=1e-4)


@pytest.fixture(scope="module")
def written():
    one = of(vae, "normal")
    x = images(100)
    return one, x, codec.compress(one, x, lanes=2).content


def test_one_image_is_enough_and_none_is_refused(written):
    one, x, _ = written
    np.testing.assert_array_equal(codec.decompress(one, codec.compress(one, x[:1]).content), x[:1])
    with pytest.raises(UserError, match="no images"):
        codec.compress(one, x[:0])
    with pytest.raises(UserError, match=r"levels 0\.\.4"):
        codec.compress(one, x + 1)


def test_what_lies_before_a_damage_is_kept(written):
    one, x, content = written
    flipped = bytearray(content)
    flipped[len(content) * 3 // 4] ^= 16
    for damaged in (content[: len(content) * 2 // 3], bytes(flipped)):
        with pytest.raises(codec.Damaged, match="cut or altered") as refused:
            codec.decompress(one, damaged)
        assert refused.value.images is None
        with pytest.raises(codec.Damaged) as refused:
            codec.decompress(one, damaged, keep=True)
        kept = refused.value.images
        assert 0 < len(kept) < len(x)
        np.testing.assert_array_equal(kept, x[: len(kept)])
    with pytest.raises(codec.Damaged, match="head"):
        codec.decompress(one, content[:40])


def test_a_damage_whose_highest_word_is_none_keeps_what_it_can(written):
    one, _, content = written
    head, words, _ = container.unpack(content, "it")
    cut = container.pack(head, np.zeros_like(words))
    with pytest.raises(codec.Damaged, match="cut or altered"):
        codec.decompress(one, cut, keep=True)


def test_no_other_program_decodes_a_file(written, monkeypatch):
    one, _, content = written
    refused = {
        "holds no images": (one, np.random.default_rng(0).bytes(500)),
        "holds no images ": (one, b""),
        "another run or checkpoint": (dataclasses.replace(one, about="other"), content),
        "4x4x1 of 5 levels": (dataclasses.replace(one, levels=6), content),
        "version 9": (one, content[:4] + b"\x09\x00" + content[6:]),
    }
    for said, (reader, given) in refused.items():
        with pytest.raises(UserError, match=said.strip()):
            codec.decompress(reader, given)
    for part, said in (("machine", "kind of machine"), ("numbers", "arithmetic")):
        head, words, _ = container.unpack(content, "it")
        head = dataclasses.replace(head, fingerprint=head.fingerprint | {part: "other"})
        with pytest.raises(UserError, match=said):
            codec.decompress(one, container.pack(head, words[head.untouched :]))


def test_models_that_cannot_be_coded_say_what_can():
    normal = vae() | {"likelihood": {"name": "normal", "scale": 0.5}}
    with pytest.raises(UserError, match="no table of masses"):
        codec.compress(of(tuple(normal.items())), images(2))


def test_checksums_are_of_sections():
    x = images(40)
    size = container.section_of(40, 2)
    assert size == 4
    assert container.checksums(x, size)[1] == zlib.crc32(x[4:8].tobytes())
