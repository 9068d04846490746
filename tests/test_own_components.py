"""Components from outside with bugs in them: which file and line, which component, which field."""

import json
import subprocess
import sys

import pytest
from checkout import ROOT

from vdp import build

SMOKE = "--config=digits_vae:prior=normal,smoke"
PRIOR = """
import jax
from vdp.priors import DensityPrior
from vdp.dists import standard_normal

class Mine(DensityPrior):
    def __init__(self, *, width=1):
        {make}

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        {init}
        return {{}}, {{}}

    def log_prob(self, params, stats, z, encode=None):
        {log_prob}
        return standard_normal(z).log_prob(z)

    def sample(self, params, stats, rng, num, *, z_shape, encode=None):
        {sample}
        return jax.random.normal(rng, (num, *z_shape))

make = Mine
"""
BUGS = {  # where the bug is -> (what it says, the last frame in the file)
    "make": ("width.no_such", "AttributeError"),
    "init": ("1 / 0", "ZeroDivisionError"),
    "log_prob": ("z @ z", "TypeError"),
    "sample": ("raise SystemExit(0)", "SystemExit"),
}
TRAINING = ("--config.train.steps=2", "--config.eval.every=2", "--config.log.tensorboard=False")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that modules are imported from; returns a function that writes one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        sys.modules.pop(name, None)
        return path

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("where", BUGS)
def test_a_prior_with_a_bug_is_named_with_file_and_line(cli, place, where):
    code, kind = BUGS[where]
    parts = dict.fromkeys(BUGS, "pass") | {where: code}
    path = place(f"bug_in_{where}", PRIOR.format(**parts))
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if code in text)
    name = f"{path.stem}.make"
    exit_code, _, err = cli(f"--config=digits_vae:prior={name},smoke", *TRAINING, "--workdir=run")
    assert exit_code == 1, err
    sentence = next(text for text in err.splitlines() if text.startswith("error: "))
    assert f"prior {name} (config.model.prior)" in sentence
    assert kind in sentence
    assert f'File "{path}", line {line}' in err.partition(sentence)[2]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("def sample(", "def draw(", "has no method sample, which vdp.types.Prior asks for"),
        ("(DensityPrior)", "", "has no method draw, rate, log_prob_bound, log_prob_weight"),
        ("return {}, {}", "return {}", "init gives dict where"),
        (
            "stats, z, encode=None",
            "stats, z",
            "TypeError: Mine.log_prob() takes 4 ",
        ),
    ],
)
def test_a_prior_that_lacks_something_is_named(cli, place, before, after, says):
    text = PRIOR.format(**dict.fromkeys(BUGS, "pass"))
    assert before in text
    place("mine", text.replace(before, after))
    code, _, err = cli("--config=digits_vae:prior=mine.make,smoke", "--mode=describe")
    assert code in (1, 2)
    assert "prior mine.make (config.model.prior)" in err
    assert says in err


def test_a_likelihood_with_a_bug_is_named(cli, place):
    path = place("pixels", (
        "from vdp.likelihoods.discretized_logistic import make as shipped\n"
        "class Mine(shipped):\n"
        "    def log_prob(self, outputs, target):\n"
        "        return outputs.shape.nothing\n"
        "make = Mine\n"
    ))  # fmt: skip
    code, _, err = cli(SMOKE, "--config.model.likelihood.name=pixels.make", *TRAINING,
                       "--workdir=run")  # fmt: skip
    assert code == 1, err
    assert "error: likelihood pixels.make (config.model.likelihood) fails for images" in err
    assert f'File "{path}", line 4' in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_package", "No module named"),
        ("x = 1 +", "SyntaxError"),
        ("1 / 0", "zero"),
        ("raise SystemExit", "SystemExit"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_module_that_fails_keeps_its_traceback(cli, place, text, says):
    path = place("broken", text)
    code, _, err = cli("--config=digits_vae:prior=broken.make,smoke", "--workdir=run")
    assert code == 1
    assert err.startswith("error: the module of prior 'broken.make' fails")
    assert says in err.splitlines()[0]
    assert str(path) in err


def test_what_a_user_can_mend_is_one_sentence(refused, place):
    place("there", "make = 3\n")
    refused("--config=digits_vae:prior=nowhere.make,smoke", says=["nowhere", "PYTHONPATH"])
    refused("--config=digits_vae:prior=there.mkae,smoke", says=["has no mkae"])
    place("needs", "from vdp.priors import DensityPrior\n"
                   "class Mine(DensityPrior):\n"
                   "    def __init__(self, *, width: int): self.width = width\n"
                   "make = Mine\n")  # fmt: skip
    refused("--config=digits_vae:prior=needs.make,smoke", says=["needs the fields width"])
    given = ("--config=digits_vae:prior=needs.make,smoke", "--config.model.prior.width=x")
    refused(*given, says=["config.model.prior.width needs a value of type int"])


def test_a_field_of_a_network_is_no_fact_of_the_data(place):
    """As `levels`, which a UNet of one's own may have of its resolutions."""
    place("own_unet", "import flax.linen as nn\n"
                      "class UNet(nn.Module):\n"
                      "    levels: int = 3\n"
                      "    def __call__(self, x, out_shape, *, train=False): ...\n")  # fmt: skip
    facts = dict(levels=256, input_levels=256, num_classes=10)
    assert build.build("encoder", dict(name="own_unet.UNet"), **facts).levels == 3
    assert build.build("encoder", dict(name="own_unet.UNet", levels=2), **facts).levels == 2
    assert build.build("likelihood", dict(name="bernoulli"), **(facts | dict(levels=2))).levels == 2


def test_debug_shows_the_traceback_of_every_error(cli, tmp_path):
    argv = (SMOKE, "--config.optim.name=sgd", f"--workdir={tmp_path / 'run'}")
    code, _, err = cli(*argv, "--debug")
    assert code == 2
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("error: unknown config.optim.name 'sgd'")
    assert "Traceback" not in cli(*argv)[2]


def test_an_error_of_the_package_itself_is_not_shortened(tmp_path):
    program = (
        "import sys, vdp.modes.describe as mode\n"
        "mode.main = lambda *_, **__: 1 / 0\n"
        "from vdp import main\n"
        "main._program(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", program, "--mode=describe", SMOKE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert not done.stderr.startswith("error:")


PIXELS = '''
"""Independent pixels: log p(x) = sum of log p_ijc(x_ijc), a table of logits for every pixel."""

import dataclasses

import jax
import jax.numpy as jnp

from vdp.dists import sum_nonbatch
from vdp.types import Aux, Terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels:
    levels: int
    discrete = True
    bound_model = "exact"

    def init(self, rng, x_shape, *, data=None):
        return {"table": {"logits": jnp.zeros((*x_shape, self.levels))}}, {}

    def draw(self, rng, batch, *, purpose="loss"):
        return {}

    def elbo(self, params, stats, batch, rng, *, noise=None):
        log_p = jax.nn.log_softmax(params["table"]["logits"])[None]
        chosen = jnp.take_along_axis(log_p, batch.target[..., None].astype(jnp.int32), axis=-1)
        return Terms.of(likelihood=sum_nonbatch(chosen))

    def loss(self, params, stats, batch, rng, *, step, train, noise=None):
        terms = self.elbo(params, stats, batch, rng)
        return -terms.value, Aux(terms=terms, stats=stats, scalars={})

    def sample(self, params, stats, rng, num, *, x_shape):
        logits = jnp.broadcast_to(params["table"]["logits"], (num, *x_shape, self.levels))
        return jax.random.categorical(rng, logits) / (self.levels - 1.0)


make = Pixels
'''


def config_of(model):
    return f"""
from vdp import variants


def get_config(arg=""):
    config = variants.defaults()
    config.data.update(name="digits", num_validation=180)
    config.model = {model}
    variants.smoke(config)
    return config
"""


def test_a_model_of_ones_own_needs_no_line_anywhere_else(cli, place, tmp_path):
    """A bound and samples are declared, so they are estimated and drawn; nothing else is asked."""
    place("pixels_model", PIXELS)
    place("mine", config_of('dict(name="pixels_model.make")'))
    flags = ("--config.optim.learning_rate=0.1", "--config.sample.num=4")
    code, _, err = cli("--config=mine.py", *flags, "--workdir=run")
    assert code == 0, err
    found = json.loads((tmp_path / "run" / "eval.json").read_text())
    assert [name for name, entry in found["estimators"].items() if entry] == ["elbo"]
    elbo = found["estimators"]["elbo"]
    assert elbo["model"] == "exact"
    assert -64 * 2.84 < elbo["nats"]["mean"] < -100  # better than equal levels: log 17 = 2.83
    assert found["mse"] is found["latents"] is found["score"] is None
    assert {p.name for p in (tmp_path / "run" / "samples").iterdir()} == {
        "samples.png", "step-0000010.png", "step-0000020.png", "settings.json",
    }  # fmt: skip
    code, _, err = cli("--config=mine.py", *flags, "--config.sample.temperature=0.5",
                       "--workdir=other")  # fmt: skip
    assert code == 2
    assert "sampled without options: leave out temperature" in err
    code, _, err = cli("--config=mine.py", "--config.eval.estimators=elbo,iwae", "--workdir=other")
    assert code == 2
    assert "names iwae, which this model does not have: there is elbo, fid" in err


def test_a_model_that_is_not_probabilistic_has_a_score_of_its_own(cli, place, tmp_path):
    text = PIXELS.replace("discrete = True", "").replace('bound_model = "exact"', (
        'score = Score(name="surprise", label="surprise", unit="nats an image", sign=-1.0)'
    )).replace("def elbo", "def evaluate").replace("self.elbo", "self.evaluate")  # fmt: skip
    place("scored_model", text.replace("import Aux, Terms", "import Aux, Score, Terms"))
    place("mine", config_of('dict(name="scored_model.make")'))
    code, _, err = cli("--config=mine.py", "--workdir=run")
    assert code == 0, err
    found = json.loads((tmp_path / "run" / "eval.json").read_text())
    assert not any(found["estimators"].values())
    assert found["score"]["name"] == "surprise"
    assert found["score"]["mean"] > 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "train/surprise" in lines
    assert "eval/surprise" in lines
    assert "elbo" not in lines
    stored = next((tmp_path / "run" / "checkpoints").glob("20/metrics/metrics"))
    assert json.loads(stored.read_text()) == {
        "surprise": pytest.approx(found["score"]["mean"], 0.1)
    }


def test_a_model_with_neither_says_what_is_missing(refused, place):
    place("nothing_model", PIXELS.replace("bound_model", "of_what"))
    place("mine", config_of('dict(name="nothing_model.make")'))
    refused("--config=mine.py", "--workdir=run", says=["Probabilistic, Scored"])
