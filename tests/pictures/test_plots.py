"""The plots of a run, made again from its files."""

import dataclasses

import run_folder

import vdp
from vdp.pictures import sample


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
