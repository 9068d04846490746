"""What a search knows before a trial is trained: lengths, warm-ups, and no device of its own."""

import os
import subprocess
import sys

import pytest
from checkout import ROOT
from launching import RATES, SEARCHED

from launch import search, trials
from vdp import config
from vdp.data import datasets
from vdp.errors import UserError


def test_the_length_is_that_of_the_trial():
    length = lambda **fields: (
        trials.in_steps(
            config.settings("digits_vae:smoke", [(k, str(v)) for k, v in fields.items()])
        ).train.steps
    )
    assert length(**{"train.steps": 70}) == 70
    by_epochs = [length(**{"train.epochs": 2, "train.batch_size": size}) for size in (16, 64)]
    settings = config.settings("digits_vae:smoke")
    images = datasets.split_counts(datasets.describe(settings.data), settings.data)["train"]
    assert by_epochs == [round(2 * images / 16), round(2 * images / 64)]


@pytest.mark.parametrize(
    ("space", "first", "told"),
    [
        ("model.kl_warmup_steps=0,25", 2, "--first=3"),
        ("train.kl_warmup_epochs=1,2", 1, "--first=5"),  # 22 and 43 steps
        ("model.kl_warmup_steps=0,25", 3, None),
        ("model.beta=1.0,2.0", 1, None),
    ],
)
def test_trials_are_not_judged_within_warmups_that_they_do_not_share(tmp_path, space, first, told):
    argv = [*SEARCHED[:1], f"--workdir={tmp_path / 'search'}", f"--first={first}"]
    argv += [f"--space={space}", "--config.eval.every=10", "--config.train.batch_size=64"]
    if not told:
        assert search.plan(*search.parse(argv), []).study.study_name == "search"
        return
    with pytest.raises(UserError, match=told):
        search.plan(*search.parse(argv), [])
    assert not (tmp_path / "search").exists()


def test_the_devices_are_left_to_the_trials(tmp_path):
    program = (
        f"from launch import search; search.plan(*search.parse({[*SEARCHED, RATES]!r}), []); "
        "import jax; assert not jax._src.xla_bridge.backends_are_initialized()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
