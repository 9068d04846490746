"""Every shipped config: traced at full size in every variant, and smoked on synthetic data."""

import itertools
import json
import re

import jax
import jax.numpy as jnp
import pytest

from vdp import build, config, variants
from vdp.data import datasets
from vdp.errors import UserError
from vdp.metrics import score
from vdp.runtime import parallel
from vdp.settings import compare
from vdp.settings.parse import parse, to_config, to_json
from vdp.training import state
from vdp.types import Batch

ARGUMENTS = ["", *(f"prior={name}" for name in variants.PRIORS[1:])]
NAMES = [n for n in config.config_names() if not n.startswith("own_")]  # of data sets known by name
PIXEL = [n for n in NAMES if n.endswith(("_ddpm", "_vdm", "_models"))]
FLAT = [n for n in NAMES if n.endswith(("_vae", "_dcgan"))]
AUTOENCODERS = [name for name in NAMES if name.endswith("_ae")]
KINDS = [f"kind={kind}" for kind in ("plain", "denoising", "robust", "contractive")]
HIERARCHIES = [name for name in NAMES if name.endswith("_dvp")]
VARIANTS = [  # of every hierarchy; the digits' is traced and smoked in all of them
    "", "reference", "ladder", "vamp,components=1000", "reference,ladder",
    "pseudoinput=linear,prior=flow", "pseudoinput=downsample,size=5,prior=mixture",
    "prior=ddpm,aggregation=none", "pseudoinput=none,prior=mixture,posterior=precision",
    "prior=normal,aggregation=z_1", "form=separate,schedule=learned_monotone,reference",
]  # fmt: skip
CASES = list(itertools.product(FLAT, ARGUMENTS))
CASES += [("digits_dvp", argument) for argument in [*VARIANTS, "depth=8"]]
CASES += list(itertools.product(set(HIERARCHIES) - {"digits_dvp"}, VARIANTS[:2]))
CASES += [("mnist_dvp", "vamp"), ("cifar10_dvp", "depth=45,aggregation=none")]
CASES += [("cifar10_dvp", argument) for argument in ("light", "light,ladder")]
CASES += [(name, "") for name in PIXEL]
CASES += [("digits_vdm", "schedule=learned_monotone,dequantization=uniform")]
CASES += [("mnist_ddpm", "weights=bound,betas=cosine")]
CASES += [("mnist_models", f"model={name}") for name in ("vae_vdm", "vdm", "ddpm")]
CASES.sort()
CASES += [("cifar10_dcgan", f"latent={size}") for size in (100, 200)]
CASES += [(n, f"training={m}") for n in (*FLAT, *HIERARCHIES) for m in ("detached", "prior")]
CASES += [("digits_dvp", "pseudoinput=none,prior=mixture,training=prior")]
CASES += [("mnist_mlp_vae", "likelihood=normal,prior=flow,latent=8")]
CASES += [(name, "prior=flow,transform=spline") for name in ("digits_vae", "digits_dvp")]
for prior in ("tarflow", "trajectory"):
    CASES += [("digits_dvp", f"prior={prior}"), ("digits_dvp", f"pseudoinput=none,prior={prior}")]
AS_MNIST = {  # the code of mnist_dvp and mnist_vae
    "cifar10_dvp", "fashion_mnist_dvp", "omniglot_dvp", "freyfaces_dvp", "silhouettes_dvp",
    "silhouettes_vae", "freyfaces_vae",
}  # fmt: skip
QUICK = {(name, "") for name in NAMES if name == "digits_vdm" or name not in {*PIXEL, *AS_MNIST}}
QUICK |= {("digits_vae", argument) for argument in ("prior=normal", "prior=flow")}
CASES = [  # every config as it is and two of their variants; the others are slow
    pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow) for case in CASES
]
FAMILIES = [  # every config is smoked on synthetic images; the digits config by test_cli.py
    pytest.param("mnist_vae:smoke", "synthetic:28x28x1", marks=pytest.mark.slow),
    pytest.param("mnist_dcgan:prior=flow,smoke", "synthetic:28x28x1", marks=pytest.mark.slow),
    pytest.param("digits_dvp:ladder,depth=4,smoke", "synthetic:8x8x1x17", marks=pytest.mark.slow),
    pytest.param("digits_dvp:reference,smoke", "synthetic:8x8x1x17", marks=pytest.mark.slow),
    pytest.param("digits_vdm:smoke", "synthetic:8x8x1x17", marks=pytest.mark.slow),
    *(
        pytest.param(f"{name}:smoke", f"synthetic:{shape}", marks=pytest.mark.slow)
        for name, shape in (
            ("mnist_ddpm", "28x28x1"),
            ("mnist_vdm", "28x28x1"),
            ("cifar10_ddpm", "32x32x3"),
            ("cifar10_vdm", "32x32x3"),
            ("mnist_models", "28x28x1"),
        )
    ),
    pytest.param("mnist_mlp_vae:prior=normal,smoke", "synthetic:28x28x1", marks=pytest.mark.slow),
    pytest.param(
        "mnist_mlp_vae:likelihood=normal,smoke", "synthetic:28x28x1", marks=pytest.mark.slow
    ),
    *(
        pytest.param(f"digits_dvp:{variant},smoke", "synthetic:8x8x1x17", marks=pytest.mark.slow)
        for variant in [v for v in VARIANTS if v not in ("", "reference")]
    ),
    *(
        pytest.param(f"{name}:{variant},smoke", f"synthetic:{shape}", marks=pytest.mark.slow)
        for name, variant, shape in (
            ("mnist_dvp", "size=11", "28x28x1"),
            ("omniglot_dvp", "vamp", "28x28x1"),
            ("fashion_mnist_dvp", "reference", "28x28x1"),
            ("cifar10_dvp", "depth=20", "32x32x3"),
            ("cifar10_dvp", "light", "32x32x3"),
            ("cifar10_vdm", "light", "32x32x3"),
            ("silhouettes_dvp", "depth=4", "28x28x1x2"),
            ("freyfaces_dvp", "depth=4", "28x20x1"),
            ("silhouettes_vae", "prior=normal", "28x28x1x2"),
            ("freyfaces_vae", "prior=normal", "28x20x1"),
        )
    ),
    pytest.param("cifar10_vae:prior=normal,smoke", "synthetic:32x32x3", marks=pytest.mark.slow),
    *(
        pytest.param(f"{name}:smoke", f"synthetic:{shape}", marks=pytest.mark.slow)
        for name, shape in (("cifar10_dcgan", "32x32x3"), ("celeba_dcgan", "64x64x3"))
    ),
    *(
        pytest.param(
            f"digits_dcgan:prior={prior},smoke", "synthetic:8x8x1x17", marks=pytest.mark.slow
        )
        for prior in variants.PRIORS
    ),
]


def full_size(argument):
    """(config, facts, model, shapes of (params, stats, batch)) of a config."""
    cfg = config.settings(argument)
    if cfg.model.get("training") == "prior":
        groups = cfg.optim.groups
        assert not any(groups[g] for g in groups if g.split("/")[0] in ("encoder", "decoder"))
    facts = datasets.describe(cfg.data)
    model = build.model(cfg.model, facts)
    assert model == build.model(cfg.model, facts)  # so that both have the same programs
    _, template = state.template(cfg, model, facts.shape, parallel.make_mesh())
    images = jax.ShapeDtypeStruct((cfg.train.batch_size, *facts.shape), jnp.uint8)
    label = jax.ShapeDtypeStruct((cfg.train.batch_size,), jnp.int32)
    batch = Batch(target=images, input=images, label=label)
    return cfg, facts, model, (template.params, template.stats, batch)


@pytest.mark.parametrize("name", config.config_names())
def test_the_description_names_all_variants(name):
    with pytest.raises(UserError) as refused:
        config.load(f"{name}:?")
    listed = str(refused.value).split("there is: ")[1].split(", ")
    described = config.find(name).read_text().split('"""')[1]
    for variant in listed:
        assert re.search(rf"`{variant.partition('=')[0]}[`=]", described), variant


def traced(cfg, model, arguments, *others):
    """Shapes by tracing alone, without memory or data, of others(params, stats, batch, key)."""
    key = jax.random.key(0)

    def everything(params, stats, batch):
        loss, aux = model.loss(params, stats, batch, key, step=jnp.int32(0), train=True)
        compared = score.terms(model, params, stats, batch, key)
        values = loss, aux.terms.value, compared.value
        return *values, *(other(params, stats, batch, key) for other in others)

    shapes = jax.eval_shape(everything, *arguments)
    assert [s.shape for s in shapes[:3]] == [(cfg.train.batch_size,)] * 3
    assert all(s.dtype == jnp.float32 for s in shapes)
    return [s.shape for s in shapes[3:]]


@pytest.mark.parametrize(("name", "argument"), CASES, ids=lambda v: v or "default")
def test_traces_at_full_size(name, argument):
    cfg, facts, model, arguments = full_size(f"{name}:{argument}")
    draw = lambda params, stats, _, key: model.sample(params, stats, key, 3, x_shape=facts.shape)
    weight, images = traced(cfg, model, arguments, model.log_weight, draw)
    assert weight == (cfg.train.batch_size,)
    assert images == (3, *facts.shape)


@pytest.mark.parametrize("kind", ["", "latent=2", *KINDS])
@pytest.mark.parametrize("name", AUTOENCODERS)
def test_autoencoders_trace_at_full_size(name, kind):
    cfg, facts, model, arguments = full_size(f"{name}:{kind}")
    assert model.kind == (kind.removeprefix("kind=") if kind in KINDS else "plain")
    again = lambda params, stats, batch, key: model.reconstruct(params, stats, batch.input, key)
    assert traced(cfg, model, arguments, again) == [(cfg.train.batch_size, *facts.shape)]


@pytest.mark.parametrize(("name", "data"), FAMILIES)
def test_smoke_run(cli, tmp_path, name, data):
    code, _, err = cli(
        f"--config={name}", f"--workdir={tmp_path}", f"--config.data.name={data}",
        "--config.eval.estimators=elbo,iwae", "--config.train.steps=4", "--config.eval.every=4",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["estimators"]["iwae"]["nats"]["se"] > 0
    grey = "likelihood=normal" in name
    binarised = name.startswith(("mnist_vae", "mnist_mlp", "mnist_dvp", "omniglot")) and not grey
    assert found["binarization_seed"] == (0 if binarised else None)
    assert found["augmentation"] == "none"  # the flips of some configs are their own data's


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param(f"{name}:{kind},smoke", f"synthetic:{shape}", marks=pytest.mark.slow)
        for name, shape in (("digits_ae", "8x8x1x17"), ("mnist_ae", "28x28x1"))
        for kind in KINDS
    ],
)
def test_smoke_run_of_autoencoders(cli, tmp_path, name, data):
    """One of them is smoked by test_smoothness.py at every change."""
    code, _, err = cli(f"--config={name}", f"--workdir={tmp_path}", f"--config.data.name={data}")
    assert code == 0, err
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["mse"] > 0
    assert found["interpolation"]["path_ratio"]["mean"] > 1


@pytest.mark.parametrize("name", NAMES)
def test_config_survives_its_own_json(name):
    settings = config.settings(name)
    again = parse(json.loads(json.dumps(to_json(settings))))
    assert to_json(again) == to_json(settings)
    assert to_json(parse(to_config(again))) == to_json(settings)
    compare.check_resumable(settings, again)
    moved = again.replace(data=dict(dir="/somewhere"), train=dict(steps=10_000_000))
    compare.check_resumable(settings, moved)


def test_what_a_config_says_of_its_own_data_is_not_said_of_other_data():
    argument, other = "cifar10_dvp:reference", [("data.name", "synthetic:32x32x3")]
    own = config.settings(argument)
    assert own.data.augmentation == "flip"
    assert own.model["input_mean"] != 0.5
    assert config.settings(argument, [("data.name", "cifar10")]) == own
    changed = config.settings(argument, other)
    assert changed.data.augmentation == "none"
    assert changed.model["input_mean"] == changed.model["input_std"] == 0.5
    assert [note.partition(":")[0] for note in changed.notes] == list(config.OF_ITS_DATA)
    asked = config.settings(argument, [*other, ("data.augmentation", "flip")])
    assert asked.data.augmentation == "flip"


@pytest.mark.parametrize("name", ["digits_vae", "digits_dcgan", "digits_dvp"])
def test_a_prior_of_ones_own_is_a_variant_as_well(name):
    assert config.load(f"{name}:prior=laplace.make").model.prior.to_dict() == {
        "name": "laplace.make"
    }
    for unknown in ("prior=laplace", "prior=MODULE.NAME", "form=laplace.make"):
        with pytest.raises(UserError, match="unknown variant"):
            config.load(f"{name}:{unknown}")


@pytest.mark.parametrize("other", ["reference", "depth=20", "depth=28"])
def test_a_light_shape_is_a_shape_of_its_own(other):
    full, light = config.load("cifar10_dvp").model, config.load("cifar10_dvp:light").model
    count = lambda model: sum(num for _, num, _ in model.scales)
    assert (count(full), count(light)) == (28, 12)
    assert light.pseudoinput == full.pseudoinput
    with pytest.raises(UserError, match="light is a shape of its own"):
        config.load(f"cifar10_dvp:light,{other}")
    with pytest.raises(UserError, match="unknown variant 'light'"):
        config.load("mnist_dvp:light")


def test_the_light_shape_of_pixel_space_is_trained_otherwise():
    full, light = config.load("cifar10_vdm"), config.load("cifar10_vdm:light")
    assert (full.model.prior.denoiser.width, light.model.prior.denoiser.width) == (128, 32)
    assert (full.model.prior.num_steps, light.model.prior.num_steps) == (1000, 100)
    assert (full.optim.schedule, light.optim.schedule) == ("constant", "cosine")
    assert (light.train.steps, light.train.batch_size, light.eval.every) == (4000, 32, 1000)
    assert light.optim.b2 == full.optim.b2 == 0.99
    with pytest.raises(UserError, match="unknown variant 'light'"):
        config.load("mnist_vdm:light")


def test_variants_in_any_order_and_nothing_else():
    parse = lambda arg: variants.parse(
        arg, words=("smoke", "ladder"), choices={"size": (7, 3), "prior": ("vdm", "normal")}
    )
    assert parse(None) == parse("") == {"smoke": False, "ladder": False, "size": 7, "prior": "vdm"}
    expected = {"smoke": True, "ladder": False, "size": 3, "prior": "normal"}
    assert parse("prior=normal,smoke,size=3") == parse("size=3, smoke ,prior=normal") == expected
    for bad in ("smoke=1", "size", "size=4", "prior=", "large", "size=3,size=7"):
        with pytest.raises(UserError, match=r"there is: smoke, ladder, size=7\|3"):
            parse(bad)


def test_components_from_outside_and_wrong_fields():
    spec = {"name": "optax.adam", "learning_rate": 0.1}
    assert build.build("net", spec).init is not None
    with pytest.raises(UserError, match=r"accepted: .*width"):
        build.build("net", {"name": "MLP", "widht": 3})
    with pytest.raises(UserError, match="component field"):
        build.build("model", {"name": "vae", "blob": {"name": "x"}})
    with pytest.raises(UserError, match="has no name"):
        build.build("prior", {"width": 3})
