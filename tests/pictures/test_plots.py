"""The plots of a run, made again from its files."""

import dataclasses

import run_folder

import vdp
from vdp.pictures import convergence, sample


def test_plots_are_made_of_what_is_there_in_the_formats_asked_for(tmp_path, smoke_run):
    opened = vdp.load(smoke_run)
    settings = opened.settings.replace(log=dict(figures=("svg",)))
    run = dataclasses.replace(opened, settings=settings)
    row = {"name": "z_1", "height": 2, "units": 8, "active": 6, "rate": 3.25}
    two = run_folder.result(latents=[row, row | {"name": "z_2"}], rates=[3.25, 3.25])
    folder = run_folder.write(tmp_path / "two", evaluated=two)
    plots = [folder / "plots" / f"{name}.svg" for name in ("loss", "latents")]
    assert sample.write_plots(run, folder) == plots
    assert all(path.read_text().startswith("<?xml") for path in plots)
    one = run_folder.write(tmp_path / "one", evaluated="damaged")
    assert sample.write_plots(run, one) == [one / "plots" / "loss.svg"]
    (one / "metrics.jsonl").unlink()
    assert sample.write_plots(run, one) == []


def test_samples_of_another_number_of_solver_steps_are_others(tmp_path, smoke_run):
    trained = vdp.load(smoke_run).settings
    drawn = lambda num: sample.folder_of(
        tmp_path,
        trained,
        trained.replace(
            model={**trained.model, "prior": {**trained.model["prior"], "ode_steps": num}}
        ),
    )
    assert drawn(trained.model["prior"]["ode_steps"]) == tmp_path / "samples"
    assert len({drawn(num) for num in (4, 64)}) == 2


def test_the_latents_of_another_evaluation_are_another_picture(tmp_path, smoke_run):
    row = {"name": "z_1", "height": 2, "units": 8, "active": 6, "rate": 3.25}
    of = {"latents": [row, row | {"name": "z_2"}], "rates": [3.25, 3.25]}
    (written,) = sample.write_latent_bars(vdp.load(smoke_run), tmp_path, of, "-best-validation")
    assert written == tmp_path / "plots" / "latents-best-validation.png"
    assert [path.name for path in (tmp_path / "plots").iterdir()] == [written.name]


def test_too_few_samples_for_a_line_have_a_page_and_no_picture(tmp_path):
    entry = {"rows": [], "words": "too few samples", "num_examples": 5, "extrapolated": None}
    result = {"convergence": {"fid": entry}, "checkpoint": "best", "step": 3, "split": "test"}
    convergence.write(tmp_path, result, "fid")
    (page,) = (tmp_path / "plots").iterdir()
    assert "Too few samples." in page.read_text()
