"""What a run takes of another one: which roles, what is left and why, and what is refused."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import vdp
from vdp import config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.training import first_stage
from vdp.training.state import Evaluated, State

EMA = {"decoder": {"w": 1.0}, "encoder": {"w": 2.0}, "prior": {"w": 3.0}}
FROM = [("train.init_from", "runs/first"), ("train.init_parts", "all")]


def plan(
    argument,
    *overrides,
    first="digits_vae:prior=normal",
    fields=(),
    same_images=True,
    ema=None,
    changed=(),
):
    """The plan of a config that starts from another one."""
    settings = config.settings(argument, [*FROM, *overrides])
    there = config.settings(first, fields) if isinstance(first, str) else first
    other = first_stage.Other(
        settings=there,
        facts=datasets.describe(there.data),
        evaluated=Evaluated(step=jnp.int32(7), ema=ema or EMA, ema_stats={}),
        same_images=same_images,
        changed=changed,
    )
    taken = first_stage.plan(settings, other, datasets.describe(settings.data))
    return taken, first_stage.in_words(settings, taken, other)


def test_all_is_taken_for_other_images_and_the_warm_up_is_not_repeated():
    other_data = ("data.name", "synthetic:8x8x1x17")
    taken, said = plan("digits_vae:prior=normal", other_data, same_images=False)
    assert taken == first_stage.Plan(roles=("encoder", "decoder", "prior"))
    assert "step 7: took encoder, decoder, prior with" in said
    assert "left" not in said
    assert (
        "the KL warm-up is not repeated, although at step 7 that run was inside its own warm-up of "
        "1,500 steps: there the rate had 0.0047 of its weight" in said
    )
    _, said = plan("digits_vae", first="digits_vae", fields=[("model.kl_warmup_steps", "7")])
    assert said.endswith("the KL warm-up is not repeated"), "that run had come to its end"
    settings = config.settings("digits_vae", FROM)
    without = first_stage.without_warmup(settings)
    assert (settings.model["kl_warmup_steps"], without.model["kl_warmup_steps"]) == (1500, 0)
    assert first_stage.without_warmup(without) == without
    assert first_stage.without_warmup(config.settings("digits_vae", FROM[:1])).model[
        "kl_warmup_steps"
    ]


def test_a_folder_that_has_grown_holds_out_what_was_trained_with():
    with pytest.raises(UserError, match="the images of digits have changed since"):
        plan("digits_vae:prior=normal", same_images=False, changed=("train", "test"))
    other_data = ("data.name", "synthetic:8x8x1x17")
    assert plan("digits_vae:prior=normal", other_data, same_images=False, changed=("train", "test"))
    assert plan("digits_vae:prior=normal", same_images=False, changed=("train",))


def test_another_prior_is_left_and_said_to_be():
    taken, said = plan("digits_vae:prior=flow")
    assert taken.roles == ("encoder", "decoder")
    assert "left the prior, for it is another: prior.name (there 'normal', here 'flow')" in said


def test_what_is_trained_and_estimated_otherwise_is_the_same_model():
    overrides = [
        ("model.kl_warmup_steps", "5"),
        ("model.encoder.dropout", "0"),
        ("data.binarization_seed", "3"),
    ]
    overrides += [("model.prior.num_times", "64"), ("optim.learning_rate", "1e-4")]
    taken, _ = plan("digits_vae", *overrides, first="digits_vae", same_images=False)
    assert "prior" in taken.roles
    chain = [(f"model.prior.{k}", v) for k, v in
             {"bound": "discrete", "num_steps": "4", "reverse": "learned"}.items()]  # fmt: skip
    assert "prior" in plan("digits_vae", *chain, first="digits_vae")[0].roles
    table = "digits_vae:prior=ddpm"  # whose schedule has as many betas as steps
    assert "prior" not in plan(table, chain[1], first=table)[0].roles


@pytest.mark.parametrize(
    ("argument", "overrides", "says"),
    [
        ("digits_vae", [("model.latent_shape", "3")], r"another model: latent_shape"),
        ("digits_vae", [("data.name", "synthetic:9x8x1x17")], r"data\.resize=8x8"),
        ("digits_vae", [("data.name", "synthetic:8x8x1")], r"data\.levels=17"),
        ("digits_vae", [("train.init_parts", "encoder_decoder")], "its images differ"),
        (  # of what is of another kind, the kind alone is said
            "digits_dcgan:prior=normal",
            [],
            r"another model: decoder\.name \(there 'MLP', here 'DCGANDecoder'\); "
            r"encoder\.name \(there 'MLP', here 'DCGANEncoder'\); latent_shape",
        ),
    ],
)
def test_another_model_or_other_images_are_refused(argument, overrides, says):
    with pytest.raises(UserError, match=says):
        plan(argument, *overrides, first="digits_vae", same_images=False)


def test_a_first_stage_from_before_a_field_is_the_one_that_it_meant():
    """The decoder of a run that does not say how it ends, ends in a tanh."""
    there = config.settings("digits_dcgan:prior=normal")
    decoder = {k: v for k, v in there.model["decoder"].items() if k != "output"}
    first = there.replace(model={**there.model, "decoder": decoder})
    tanh = ("model.decoder.output", "tanh")
    taken, _ = plan("digits_dcgan:prior=normal", tanh, first=first)
    assert taken.roles == ("encoder", "decoder", "prior")
    with pytest.raises(UserError, match=r"decoder\.output \(there 'tanh', here 'linear'\)"):
        plan("digits_dcgan:prior=normal", first=first)


def test_a_hierarchy_gives_its_pseudo_input_with_the_ladder():
    taken, said = plan(
        "digits_dvp:training=prior",
        ("train.init_parts", "encoder_decoder"),
        first="digits_dvp:prior=normal",
        ema=EMA | {"pseudoinput": {}},
    )
    assert taken.roles == first_stage.AUTOENCODER
    assert "left the prior, as train.init_parts=encoder_decoder says" in said


def test_roles_are_replaced_as_evaluated_and_others_stay():
    tree = lambda value: {role: {"w": jnp.full(2, value)} for role in EMA}
    start = State(
        step=jnp.int32(0),
        params=tree(0.0),
        stats={"encoder": {"mean": jnp.zeros(1)}, "prior": {}},
        opt_state=(),
        ema=tree(0.0),
        ema_stats={"encoder": {"mean": jnp.zeros(1)}, "prior": {}},
        bad_steps=jnp.int32(0),
    )
    first = Evaluated(
        step=jnp.int32(7), ema=tree(5.0), ema_stats={"encoder": {"mean": jnp.ones(1)}, "prior": {}}
    )
    after = first_stage.take(start, first, ("encoder", "decoder"))
    for params in (after.params, after.ema):
        values = {role: float(leaf["w"][0]) for role, leaf in params.items()}
        assert values == {"encoder": 5.0, "decoder": 5.0, "prior": 0.0}
    for stats in (after.stats, after.ema_stats):
        np.testing.assert_array_equal(stats["encoder"]["mean"], 1.0)
    merged = dataclasses.replace(first, ema=first.ema | {"encoder": {"w": jnp.zeros(1)}})
    with pytest.raises(UserError, match="form=separate"):
        first_stage.take(start, merged, ("encoder",))


def test_everything_but_the_prior_has_to_be_frozen():
    settings = config.settings(
        "digits_dvp:pseudoinput=linear,training=prior", [("train.init_from", "runs/first")]
    )
    first_stage.check_frozen(settings, EMA | {"pseudoinput": {"w": 1.0}})
    first_stage.check_frozen(config.settings("digits_vae"), EMA)
    loose = settings.replace(optim=dict(groups=dict(encoder=0.0, decoder=0.0)))
    with pytest.raises(UserError, match=r"set config\.optim\.groups\.pseudoinput=0$"):
        first_stage.check_frozen(loose, EMA | {"pseudoinput": {"w": 1.0}})
    first_stage.check_frozen(loose, EMA | {"pseudoinput": {}})
    groups = {"encoder": 0.0, "decoder/likelihood": 20.0, "prior/net": 2.0}
    with pytest.raises(
        UserError, match=r"decoder=0 and config\.optim\.groups\.decoder/likelihood=0$"
    ):
        first_stage.check_frozen(settings.replace(optim=dict(groups=groups)), EMA)


def test_the_same_data_split_otherwise_are_other_images(refused, smoke_run, tmp_path):
    """Test images of the new run were training images of the first."""
    says = {
        "encoder_decoder": ["its images differ"],
        "all": [
            "has trained with images that would be held out here",
            "split_seed (there 0, here 3",
        ],
    }
    for parts, words in says.items():
        refused(
            "--config=digits_vae:smoke", f"--config.train.init_from={smoke_run}",
            f"--config.train.init_parts={parts}", "--config.data.split_seed=3",
            f"--workdir={tmp_path / 'run'}", says=words,
        )  # fmt: skip
    with pytest.raises(UserError, match="split_seed"):
        vdp.load(smoke_run, data={"split_seed": 3})
