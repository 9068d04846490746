"""`--mode=compress` and `--mode=decompress`, and what a run answers in Python."""

import sys
from importlib import metadata

import numpy as np
import pytest
from PIL import Image

import vdp
from vdp.errors import STOPPED, Interrupted, UserError
from vdp.modes import compress
from vdp.run import Run
from vdp.runtime import npz

pytest.importorskip("constriction")  # of the extra `codec`


@pytest.fixture(scope="module")
def archive(smoke_run, tmp_path_factory):
    """(images, an .npz file of them): digits, with the levels of the run."""
    images = vdp.load(smoke_run).images("test")[:3]
    path = tmp_path_factory.mktemp("images") / "few.npz"
    npz.write(path, {"images": images, "levels": 17})
    return images, path


def test_images_go_there_and_back(smoke_run, archive, tmp_path, cli, refused):
    images, path = archive
    out, back = tmp_path / "few.vdp", tmp_path / "back.npz"
    run = [f"--workdir={smoke_run}", "--config.codec.batch_size=3"]
    named = [f"--config.codec.files={path}", f"--config.codec.out={out}"]
    code, said, _ = cli("--mode=compress", *run, *named)
    assert code == 0
    assert "3 images in" in said
    assert "bound (T=100, calibrated)" in said
    code, said, _ = cli(
        "--mode=decompress", *run, f"--config.codec.files={out}", f"--config.codec.out={back}"
    )
    assert code == 0
    with np.load(back) as stored:
        np.testing.assert_array_equal(stored["images"], images)
        assert stored["levels"] == 17
    out.write_bytes(out.read_bytes()[:-9])
    says = ["cut or altered", "--config.codec.keep=True"]
    refused(
        "--mode=decompress", *run, f"--config.codec.files={out}",
        f"--config.codec.out={tmp_path / 'none.npz'}", says=says,
    )  # fmt: skip
    assert not (tmp_path / "none.npz").exists()


def test_what_cannot_be_meant_is_said_first(smoke_run, archive, tmp_path, refused):
    run = f"--workdir={smoke_run}"
    refused("--mode=compress", run, says=["--config.codec.out=NAME.vdp"])
    out = f"--config.codec.out={tmp_path / 'x.vdp'}"
    refused("--mode=compress", run, out, "--config.codec.files=tset", says=["split", "folder"])
    other = tmp_path / "other.npz"
    npz.write(other, {"images": np.full((2, 8, 8), 200, np.uint8)})
    refused("--mode=compress", run, out, f"--config.codec.files={other}", says=["17 without loss"])
    (tmp_path / "pictures").mkdir()
    for name, size in (("a.png", (8, 8)), ("b.png", (4, 8))):
        Image.new("L", size).save(tmp_path / "pictures" / name)
    says = ["no field of config.data is followed", "the run's size and depth"]
    refused("--mode=compress", run, out, f"--config.codec.files={tmp_path / 'pictures'}", says=says)
    assert not (tmp_path / "x.vdp").exists()
    missing = f"--config.codec.files={tmp_path / 'missing.vdp'}"
    refused("--mode=decompress", run, missing, out, says=["cannot be read"])


def test_where_nothing_can_be_written_is_said_before_the_work(
    smoke_run, archive, tmp_path, refused, monkeypatch
):
    monkeypatch.setattr(Run, "encoded", lambda *args, **kwargs: pytest.fail("the work"))
    monkeypatch.setattr(Run, "decompress", lambda *args, **kwargs: pytest.fail("the work"))
    (tmp_path / "file").write_text("")
    run = f"--workdir={smoke_run}"
    for mode, ending in (("compress", "vdp"), ("decompress", "npz")):
        command = (f"--mode={mode}", run, f"--config.codec.files={archive[1]}")
        (tmp_path / f"folder.{ending}").mkdir()
        inside = f"--config.codec.out={tmp_path / 'file' / 'x'}.{ending}"
        refused(*command, inside, says=["cannot be written"])
        there = f"--config.codec.out={tmp_path / 'folder'}.{ending}"
        refused(*command, there, says=[f"folder.{ending} is a folder: name a file"])
    assert not any(path.rglob("*") for path in tmp_path.glob("folder.*") if [*path.iterdir()])


def test_a_file_is_told_of_where_its_bound_is_interrupted(
    smoke_run, archive, tmp_path, cli, monkeypatch
):
    def interrupted(*args):
        raise Interrupted("stopped by SIGTERM")

    monkeypatch.setattr(compress, "beside_bound", interrupted)
    out = tmp_path / "few.vdp"
    code, said, err = cli(
        "--mode=compress", f"--workdir={smoke_run}", f"--config.codec.files={archive[1]}",
        f"--config.codec.out={out}", "--config.codec.batch_size=3",
    )  # fmt: skip
    assert code == STOPPED
    assert "3 images in" in said
    assert f"{out} is whole, its bound was not computed" in err
    assert out.exists()


def test_without_the_package_its_extra_is_named(smoke_run, archive, monkeypatch):
    run = vdp.load(smoke_run)
    content = run.compress(archive[0])
    monkeypatch.setitem(sys.modules, "constriction", None)
    missing = metadata.PackageNotFoundError("constriction")
    monkeypatch.setattr(metadata, "version", lambda name: pytest.fail(str(missing)))
    for work in (lambda: run.compress(archive[0]), lambda: run.decompress(content)):
        with pytest.raises(UserError, match=r"pip install -e '\.\[codec\]'"):
            work()
