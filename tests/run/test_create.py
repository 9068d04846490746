"""A run made of parameters from elsewhere."""

import jax
import numpy as np
import pytest

import vdp
from vdp import run
from vdp.errors import UserError
from vdp.record import read_run


@pytest.mark.slow
def test_a_run_made_of_parameters_is_opened_evaluated_and_trained_on(smoke_run, tmp_path, cli):
    trained = vdp.load(smoke_run, "latest")
    made = run.create(tmp_path / "made", trained.config, trained.params, trained.stats)
    images = trained.images()[:5]
    np.testing.assert_array_equal(made.elbo(images).value, trained.elbo(images).value)
    assert made.step == 0
    assert read_run(tmp_path / "made").settings == trained.settings
    with pytest.raises(UserError, match="holds a run already"):
        run.create(tmp_path / "made", trained.settings, trained.params, trained.stats)
    code, _, err = cli("--config=digits_vae:smoke", f"--workdir={tmp_path / 'made'}",
                       "--config.train.steps=20", "--config.eval.estimators=elbo")  # fmt: skip
    assert code == 0, err
    assert vdp.load(tmp_path / "made", "latest").step == 20


@pytest.mark.parametrize("name", ["eval.json", "metrics.jsonl"])
def test_a_folder_with_what_a_run_has_left_is_refused(name, smoke_run, tmp_path):
    trained = vdp.load(smoke_run)
    (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=f"holds {name} of a run that is no more"):
        run.create(tmp_path, trained.settings, trained.params, trained.stats)


def test_what_is_not_the_models_is_named_and_leaves_nothing(smoke_run, tmp_path):
    trained = vdp.load(smoke_run)

    def refused(says, params):
        with pytest.raises(UserError, match=says):
            run.create(tmp_path / "made", trained.settings, params, trained.stats)
        assert not (tmp_path / "made").exists()

    kernel = trained.params["encoder"]["Dense_0"]["kernel"]
    without = {role: tree for role, tree in trained.params.items() if role != "prior"}
    refused("the parameter prior/.* is missing", without)
    refused("the parameter prior/more is none of this model",
            trained.params | {"prior": trained.params["prior"] | {"more": kernel}})  # fmt: skip
    turned = jax.tree.map(lambda leaf: leaf.T if leaf is kernel else leaf, trained.params)
    refused(r"encoder/Dense_0/kernel has the shape .* is needed", turned)
