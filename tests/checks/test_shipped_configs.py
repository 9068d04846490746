"""`--mode=check` calls nothing broken that is shipped: the components of every digits config."""

import pytest
from checkout import ROOT

from vdp import build, config
from vdp.data import datasets
from vdp.modes import check

PRIORS = ("vdm", "ddpm", "flow", "tarflow", "trajectory", "vamp", "mixture", "normal")
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("digits_*.py"))
VARIANTS = [*CONFIGS, *(f"digits_vae:prior={prior}" for prior in PRIORS[1:])]
VARIANTS += ["digits_vae:prior=flow,transform=spline"]


def test_no_config_of_the_digits_is_forgotten():
    assert {"digits_vae", "digits_dvp", "digits_vdm"} <= set(CONFIGS)


@pytest.mark.slow
@pytest.mark.parametrize("argument", VARIANTS)
def test_nothing_shipped_is_broken(argument):
    settings = config.settings(argument)
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    reports = list(check.reports(settings.model, model, facts, settings.seed))
    assert reports
    assert not [str(report) for report in reports if report.broken]
    if argument == "digits_vae":  # whose density is decided, and not left open
        (prior,) = (r for r in reports if r.component.startswith("prior"))
        assert all(law.held for law in prior.laws), prior
