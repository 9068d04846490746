"""A sweep whose config or images have changed since some of its runs ended."""

from launching import calls


def test_a_run_of_another_config_is_not_finished_and_other_images_are_said(swept, fake, tmp_path):
    """As where the file of the config was edited, or pictures were added to a folder."""
    (tmp_path / "mine.py").write_text(
        "from vdp import config\n\n\ndef get_config(arg=''):\n"
        "    return config.load(f'digits_vae:{arg},smoke')\n"
    )
    grid = lambda priors: (f"--config={tmp_path}/mine.py", f"--grid=prior={priors}")
    code, out, err = swept(base=grid("normal,vdm"))
    assert code == 0, err
    assert "the same images" not in out
    (fake / "images").write_text("more of them")
    code, out, err = swept(base=grid("normal,vdm,flow"))
    assert (code, "2 of them finished before" in err) == (0, True)
    assert "These runs have not seen the same images (hashes in config.json)" in out
    text = (tmp_path / "mine.py").read_text()
    edited = text.replace("    return config", "    made = config").rstrip()
    (tmp_path / "mine.py").write_text(f"{edited}\n    made.model.beta = 0.5\n    return made\n")
    code, out, err = swept(base=grid("normal,vdm,flow"))
    assert code == 2
    assert (
        "prior=normal/seed-0 is finished, and this workdir holds a run with another config" in err
    )
    assert "model.beta (was None, now 0.5)" in err
    assert list(calls(tmp_path).values()) == [1, 1, 1], "nothing was started, and nothing is lost"
    code, out, _ = swept("--table-only", base=())
    assert (code, "not finished" in out) == (0, False)
