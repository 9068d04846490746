"""The documentation's code is run as it stands."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from checkout import ROOT
from starting import started

from vdp import build, config
from vdp.data import datasets


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def anchors(page: pathlib.Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
    seen = 0
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
            seen += 1
    assert seen > 30


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].partition("\nmarkdown_ext")[0]
    listed = re.findall(r"[\w/]+\.md", nav)
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages


def test_generated_parts_of_pages_come_from_the_code(monkeypatch):
    pytest.importorskip("latex2mathml")  # of the docs extra
    monkeypatch.syspath_prepend(ROOT / "docs")
    import _hooks

    assert "| `latent=` | **`8`**, `2`, `16`, `40` |" in _hooks.variants_of("digits_dcgan")
    made = _hooks.on_page_markdown("<!-- changelog -->\n<!-- notebook tour -->")
    assert "## 0.1.0" in made
    assert "](docs/" not in made
    assert "# A tour in two dimensions" in made
    code = "<code>vdp --config=a --x</code>"
    assert _hooks.on_page_content(code).count('<span class="flag">--') == 2


def test_the_readme_shows_the_prior_of_the_page():
    assert blocks("README.md", "python") == blocks("docs/extend.md", "python")[:1]


@pytest.mark.slow
def test_own_components_train_together(tmp_path):
    for text in blocks("docs/extend.md", "python"):
        name = re.match(r"# (\w+\.py)\n", text)[1]
        (tmp_path / name).write_text(text)
    for command in blocks("docs/extend.md", "sh")[0].splitlines():
        words = command.split()
        assert words[0] == "python"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/mine-smoke/eval.json").read_text())
    assert result["estimators"]["elbo"]["bits_per_dim"]["mean"] > 0
    assert result["estimators"]["elbo"]["model"] == "exact"
    assert (tmp_path / "runs/mine-smoke/samples/samples.png").exists()


def test_own_networks_are_for_own_images_too(tmp_path):
    for text in (*blocks("docs/own_data.md", "python"), *blocks("docs/extend.md", "python")):
        (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    described = ("-m", "vdp.main", "--mode=describe", "--config=mine_own.py")
    for words in (("stripes.py",), (*described, "--config.data.name=npz:stripes.npz")):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "mixer.Mixer" in done.stdout
    assert "one latent for 24 numbers of an image" in done.stdout


def test_a_prior_works_in_a_loop_of_ones_own(tmp_path):
    (text,) = blocks("docs/library.md", "python")
    (tmp_path / "loop.py").write_text(text.replace("1000, 128", "40, 128"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "loop.py"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    bound, shape = done.stdout.splitlines()
    assert -40 < float(bound.split()[0]) < -20, "after one step it has -45"
    assert shape == "(16, 64)"


@pytest.mark.usefixtures("broadcasting")
def test_the_example_prior_is_a_density_and_the_likelihood_a_mass(tmp_path, monkeypatch):
    import jax
    import jax.numpy as jnp
    import numpy as np

    for text in blocks("docs/extend.md", "python"):
        (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import binomial
    import laplace
    import quadratic

    prior = laplace.make(start=0.5)
    params, stats = started(prior, jax.random.key(0), (1,))
    grid = jnp.linspace(-20, 20, 20_001)[:, None]
    mass = jnp.exp(prior.log_prob(params, stats, grid)).sum() * 0.002
    np.testing.assert_allclose(mass, 1.0, rtol=1e-3)
    draws = prior.sample(params, stats, jax.random.key(1), 100_000, z_shape=(1,))
    np.testing.assert_allclose(draws.std(), 0.5 * np.sqrt(2), rtol=0.02)
    likelihood = binomial.make(levels=8)
    values = jnp.arange(8, dtype=jnp.uint8).reshape(8, 1, 1, 1)
    masses = jnp.exp(likelihood.log_prob(jnp.full((8, 1, 1, 1), 0.3), values))
    np.testing.assert_allclose(masses.sum(), 1.0, rtol=1e-5)
    spec = config.load("digits_vae:prior=vdm,schedule=quadratic.make,smoke").model
    settings = config.settings("digits_vae:prior=vdm,schedule=quadratic.make,smoke", [])
    assert spec.prior.schedule.to_dict() == {"name": "quadratic.make"}
    model = build.model(settings.model, datasets.describe(settings.data))
    assert model.prior.schedule is quadratic.make()
