"""The main job's hierarchy from the command line: estimators, temperatures, pictures."""

import json
import shutil

import numpy as np
import pytest
from undrawn import pictures

from vdp.metrics import latents

TAGS = {
    "elbo": "T=inf",
    "elbo_discrete": "T=4, calibrated",
    "elbo_ode": "ode",
    "iwae": "T=4, calibrated",
    "iwae_ode": "ode",
    "dvp_reference": "not a bound",
}
FEW = ("elbo", "iwae", "elbo_ode", "dvp_reference")
UNITS = np.arange(2 * 2 * 2 + 4 * 4 * 2)  # of z_2 and z_1, the coarsest first
ACTIVE, USED, KNOWN = UNITS < 5, UNITS >= 6, UNITS >= 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from vdp import main

    workdir = tmp_path_factory.mktemp("hierarchy") / "run"
    fields = {
        "train.steps": 4, "eval.every": 4, "eval.max_examples": 8, "eval.batch_size": 8,
        "eval.iwae_samples": 2, "eval.estimators": ",".join(FEW), "model.prior.num_steps": 4,
        "model.prior.ode_steps": 2, "model.scales": "((4,1,2),(2,1,2))",
    }  # fmt: skip
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    command = ["--config=digits_dvp:depth=4,smoke", f"--workdir={workdir}", *flags]
    with pictures(drawn=False), pytest.MonkeyPatch.context() as patched:
        patched.setattr(latents, "active_units", lambda each: counted(each, ACTIVE))
        patched.setattr(
            latents, "used_units", lambda each: (counted(each, USED)["is_active"], KNOWN)
        )
        assert main.run(command) == 0
    return workdir


def counted(each, those):
    """As if exactly these units were active or used."""
    assert {batch.shape[-1] for batch in each} == {len(those)}
    return {"active": int(those.sum()), "total": len(those), "share": 0.5, "is_active": those}


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def test_every_estimator_is_of_its_own_model(run):
    found = json.loads((run / "eval.json").read_text())["estimators"]
    assert {name: found[name]["model"] for name in FEW} == {name: TAGS[name] for name in FEW}
    assert 0 < found["elbo_ode"]["solver_error"] < 1


def test_every_latent_has_its_own_units_and_parts_of_the_bound(run):
    found = json.loads((run / "eval.json").read_text())
    parts = found["estimators"]["elbo"]["parts"]
    assert parts.keys() == {"likelihood", "u_latent_1", "u_diffusion", "z_2", "z_1"}
    rows = {row.pop("name"): row for row in found["latents"]}
    assert [*rows] == ["u", "z_2", "z_1"]
    of_u = sum(value for name, value in parts.items() if name.startswith("u_"))
    assert rows["u"]["rate"] == pytest.approx(-of_u)
    for name, units, active, used in (("z_2", 8, 5, 2), ("z_1", 32, 0, 32)):
        row = rows[name]
        assert (row["units"], row["active"], row["used"]) == (units, active, used)
        assert row["rate"] == pytest.approx(-parts[name])


@pytest.mark.slow
def test_all_others_are_too(cli, copied):
    """Compiled, they take longer than the training."""
    others = sorted(set(TAGS) - set(FEW))
    asked = f"--config.eval.estimators={','.join(others)}"
    code, _, err = cli("--mode=eval", f"--workdir={copied}", asked)
    assert code == 0, err
    (path,) = copied.glob("eval-*.json")
    found = json.loads(path.read_text())["estimators"]
    assert {name: found[name]["model"] for name in others} == {name: TAGS[name] for name in others}


@pytest.mark.slow
def test_temperatures_and_every_picture(cli, copied):
    assert cli("--mode=sample", f"--workdir={copied}")[0] == 0
    before = (copied / "samples" / "samples.png").read_bytes()
    code, out, err = cli(
        "--mode=sample", f"--workdir={copied}", "--config.sample.z_temperature=0.3",
        "--config.sample.temperature=0.5",
    )  # fmt: skip
    assert code == 0, err
    (folder,) = (copied / "samples").glob("other-*")
    names = {path.stem for path in folder.iterdir()}
    names.remove("settings")
    about = json.loads((folder / "settings.json").read_text())
    assert about["settings"] == {"sample.temperature": 0.5, "sample.z_temperature": [0.3]}
    assert about["step"] == 4
    assert names == {"samples", "denoising", "pseudoinputs", "reconstructions", "levels"}
    assert all(str(folder / f"{name}.png") in out for name in names)
    assert (folder / "samples.png").read_bytes() != before
    assert (copied / "samples" / "samples.png").read_bytes() == before, "the run's own stays"
