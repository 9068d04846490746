"""What a card says of a run's folder, and that damaged or old files leave it standing."""

import copy
import json
import os
import sys

import pytest
import run_folder
from checkout import ROOT
from run_folder import CONFIG, HOSTILE, estimate

from vdp import record
from vdp.cards import curves, facts, html, markdown, write
from vdp.errors import UserError
from vdp.runtime import parallel


def gathered(tmp_path, **content):
    return facts.gather(run_folder.write(tmp_path / "mine", **content))


def changed(**fields):
    config = copy.deepcopy(CONFIG)
    for name, value in fields.items():
        config[name] = value
    return config


def test_facts_are_those_of_the_files(tmp_path):
    said = gathered(tmp_path)
    assert said.name == "mine"
    assert said.title == "vae with prior vdm, trained on mine"
    assert said.phrase == "Variational autoencoder with a diffusion prior (VDM)"
    assert said.sentences == [
        "Trained for 40 steps of 8 images each on 30 images of mine.",
        "Its numbers are of the checkpoint best: step 40, the best of 3 validations up to step 40.",
    ]
    assert said.state == "finished"
    assert (said.headline.text, said.headline.unit) == ("-20.50 ± 0.50", "nats")
    assert said.headline.said == "elbo (T=inf): lower bound"
    assert said.figures == {"parameters": "12,345", "steps": "40", "training": "1m05s"}
    assert said.trained["data"] == "mine, 4x6x1, 16 levels"
    assert said.trained["training"] == (
        "40 of 40 steps of 8 images, adamw, learning rate 0.002, seed 7"
    )
    assert said.machine == {
        "hardware": "2 x TPU v9, 4 cores", "training": "1m05s in steps",
        "speed": "2.5 steps per second",
    }  # fmt: skip
    assert said.made_by["images"] == "hashes: train aa11, test bb22"
    assert said.made_by["revision"] == "0123abc-dirty"
    assert said.command == "python -m vdp.main --config=own_vae"
    assert 'run = vdp.load("mine")  # this folder, where it lies' in said.opening
    (latent,) = said.latents
    assert (latent.rate, latent.share, latent.active) == (3.25, 1.0, 6)


def test_every_estimate_says_what_it_is(tmp_path):
    estimators = {
        "elbo": estimate(-20.5, "exact", bits=None),
        "iwae": estimate(-19.0, "T=25", k=16, ess=3.0, note="weights of few"),
        "dvp_reference": estimate(-9.0, "not a bound", k=16, ess=2.0),
    }
    distance = dict.fromkeys(("reference", "num_reference", "rounding", "real"), None)
    distance |= {"value": 31.25, "num_samples": 1000, "features": "classifier"}
    earlier = {"elbo_ode": {**estimate(-21.0, "ode"), "step": 20}}
    evaluated = run_folder.result(
        estimators=estimators,
        fid=distance,
        earlier=earlier,
        of_later={"anything": [1]},
        another=0.5,
    )
    said = gathered(tmp_path, evaluated=evaluated)
    rows = {row.label: (row.model, row.value, row.bits, row.kind) for row in said.rows}
    assert rows == {
        "elbo": ("exact", "-20.50 ± 0.50", "", "lower bound, on a density"),
        "iwae, K = 16": ("T=25", "-19.00 ± 0.50", "1.2500 ± 0.1250", "lower bound"),
        "dvp_reference, K = 16": ("not a bound", "-9.00 ± 0.50", "1.2500 ± 0.1250", "not a bound"),
        "elbo_ode": ("ode", "-21.00 ± 0.50", "1.2500 ± 0.1250", "lower bound; of step 20"),
        "FID of 1,000 samples, classifier": ("the sampler's", "31.25", "", "no likelihood"),
    }
    assert said.headline.unit == "nats of a density"
    assert "weights of few" in html.card(said)
    assert "| **not a bound**; its exponent holds closed-form KLs" in markdown.card(said)


def test_samples_that_were_not_timed_are_no_damage(tmp_path):
    sampling = {"num": 25, "seconds": None}
    said = gathered(tmp_path, evaluated=run_folder.result(sampling=sampling))
    assert said.state == "finished"
    assert "sampling" not in said.machine


def test_a_score_is_no_likelihood(tmp_path):
    score = {"name": "squared_error", "unit": "squared error an image", "mean": 2.5, "se": 0.25}
    lines = [{"step": step, "eval/squared_error": 5.0 - step} for step in (0, 1, 2)]
    evaluated = run_folder.result(
        estimators={"elbo": None}, score=score, rates=None, latents=None, active_units=None
    )
    said = gathered(
        tmp_path,
        config=changed(config={**CONFIG["config"], "model": {"name": "ae", "kind": "denoising"}}),
        evaluated=evaluated,
        lines=lines,
    )
    assert said.phrase == "Denoising autoencoder"
    assert (said.headline.text, said.headline.said) == ("2.5000 ± 0.2500", "no likelihood")
    assert said.headline.unit == "squared error an image"
    assert said.unit == "value"
    assert "bound" not in markdown.card(said)
    assert [curve.title for curve in said.curves] == ["Squared error"]
    older = gathered(tmp_path, evaluated={**evaluated, "score": None, "mse": 0.125})
    assert (older.headline.text, older.headline.label) == ("0.1250", "mse")


def test_curves_lie_where_the_numbers_do():
    bound, norm = curves.of(run_folder.metrics(), None)[0::2]
    assert bound.title == "Negative bound, bits per dimension"
    training, validation = bound.lines
    assert [(step, value) for step, value, *_ in validation.points] == [
        (0, 3.5), (20, 2.75), (40, 2.25)
    ]  # fmt: skip
    places = [(x, y) for _, _, x, y in validation.points]
    low, high = 2.2, 3.5  # of both lines; the lowest is the training's last
    for (x, y), step, value in zip(places, (0, 20, 40), (3.5, 2.75, 2.25), strict=True):
        assert x == step / 40
        assert y == pytest.approx(0.05 + 0.9 * (value - low) / (high - low))
    assert training.path.startswith("M250.0 ")
    assert all(float(text) == pytest.approx(low + (place - 0.05) / 0.9 * (high - low))
               for text, place in bound.y_ticks)  # fmt: skip
    assert [text for text, _ in bound.x_ticks] == ["0", "10", "20", "30", "40"]
    assert norm.title == "Gradient norm"


def test_far_values_are_on_a_log_scale_and_long_lines_are_means():
    lines = [{"step": step, "eval/elbo": -(10.0 if step else 1000.0)} for step in range(1201)]
    (curve,) = curves.of(lines, None)
    assert curve.title == "Negative bound, nats, log scale"
    (line,) = curve.lines
    assert len(line.points) <= curves.POINTS
    assert line.points[0][:2] == (3, pytest.approx((1000 + 30) / 4))
    assert line.points[-1][0] == 1200
    assert ("100", pytest.approx(line.points[0][3] - 0.9 * 0.293, abs=0.01)) in curve.y_ticks


def test_names_are_text_wherever_they_stand(tmp_path):
    data = {**CONFIG["data"], "name": HOSTILE}
    config = changed(data=data, command=f"vdp --config={HOSTILE}")
    evaluated = run_folder.result(settings={"data.name": HOSTILE})
    said = facts.gather(
        run_folder.write(tmp_path / "a <b> | c", config=config, evaluated=evaluated)
    )
    page, text = html.card(said), markdown.card(said)
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert "a &lt;b&gt; | c" in page
    assert HOSTILE not in text.replace(f"```\nvdp --config={HOSTILE}\n```", "")
    assert "# a &lt;b&gt; \\| c" in text


def test_pieces_that_are_missing_leave_the_rest(tmp_path):
    old = {"config": {"model": {"name": "vae"}, "data": {"name": "digits"}}}
    bare = {key: run_folder.result()[key] for key in (
        "step", "checkpoint", "split", "num_examples", "estimators")}  # fmt: skip
    folder = run_folder.write(tmp_path / "old", config=old, evaluated=bare, lines=[])
    (folder / "samples" / "samples.png").write_bytes(b"\x89PNG cut short")
    said = facts.gather(folder)
    assert said.phrase == "Variational autoencoder"
    assert said.curves == []
    assert said.command is None
    assert [picture.title for picture in said.pictures] == ["Convergence images", "Training"]
    assert not any(picture.is_drawn for picture in said.pictures)
    assert 'train.main(read_run("old").settings, "old-again")' in html.card(said).replace(
        "&#34;", '"'
    )
    (folder / "eval.json").unlink()
    assert facts.gather(folder).state == "unfinished: trained for 0 of 1,000 steps"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"estimators": {"elbo": 3}}'])
def test_a_damaged_result_is_said_and_a_damaged_config_refused(tmp_path, content):
    said = gathered(tmp_path, evaluated=content)
    assert said.state.startswith("damaged: ")
    assert said.rows == []
    assert said.state in html.card(said)
    (tmp_path / "mine" / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        write.card(tmp_path / "mine")


def test_a_card_is_old_when_something_newer_is_there(tmp_path):
    folder = run_folder.write(tmp_path / "run")
    assert write.is_stale(folder)
    assert [path.name for path in write.card(folder)] == ["card.html", "card.md"]
    assert not write.is_stale(folder)
    later = (folder / "card.html").stat().st_mtime_ns + 10**9
    for name in ("eval-latest-test.json", "plots/new.png"):
        (folder / name).write_text("")
        os.utime(folder / name, ns=(later, later))
        assert write.is_stale(folder)
        (folder / name).unlink()


def test_a_fragment_of_others_has_the_frame():
    table = html.table(("run", "nats"), [("<a>", "-1.5")], (1,))
    page = html.page("Two & one", f"<section>{table}</section>")
    assert "<title>Two &amp; one</title>" in page
    assert '<td>&lt;a&gt;</td>\n<td class="number">-1.5</td>' in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_is_kept_as_it_is_typed_again(tmp_path, monkeypatch):
    settings = record.read_run(run_folder.write(tmp_path)).settings
    program = str(ROOT / "vdp" / "main.py")
    for argv, kept in (
        ([program, "--config=a b", "--config.seed=1"],
         "python -m vdp.main '--config=a b' --config.seed=1"),
        (["/usr/bin/vdp", "--config=digits_vae"], "python -m vdp.main --config=digits_vae"),
        (["mine.py", "--config=digits_vae"], None),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", argv)
        record.write_run(tmp_path, settings, {}, CONFIG["data"], hashes={})
        assert record.read_run(tmp_path).command == kept


def test_a_run_keeps_its_command_and_hardware(smoke_run):
    """Made by the command line as a whole: the card lies beside the evaluation."""
    stored = json.loads((smoke_run / "config.json").read_text())
    assert stored["hardware"] == parallel.hardware()
    assert stored["command"] is None, "these tests are no command of vdp"
    page = (smoke_run / "card.html").read_text()
    assert "Variational autoencoder with a diffusion prior (VDM)" in page
    assert (smoke_run / "card.md").read_text().startswith("# smoke\n")


def test_markup_in_a_name_is_text():
    name = r"a*b*_c_`x`[l](http:/e) snake_case \ |"
    assert markdown.cell(name) == r"a\*b\*\_c\_\`x\`\[l\](http:/e) snake_case \\ \|"


def test_steps_and_seconds_are_those_of_the_whole_training(tmp_path):
    result = run_folder.result(train_seconds=65.0, train_seconds_total=125.0, step=20)
    gathered = facts.gather(run_folder.write(tmp_path / "mine", evaluated=result))
    assert gathered.figures["steps"] == "40"
    assert gathered.figures["training"] == "2m05s"
