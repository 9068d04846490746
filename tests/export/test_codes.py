"""Codes as files: what Run.encode gives, in archives and tables."""

import dataclasses
import json
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

import vdp
from vdp.dists import Normal
from vdp.errors import Interrupted, UserError
from vdp.export import codes
from vdp.modes import encode
from vdp.run import Code

ENCODE = "--mode=encode"


def test_the_files_hold_what_run_encode_gives(cli, smoke_run, tmp_path):
    code, out, err = cli(ENCODE, f"--workdir={smoke_run}", "--splits=all", f"--out={tmp_path}",
                         "--config.eval.max_examples=70")  # fmt: skip
    assert code == 0, err
    names = [f"codes-{split}" for split in ("train", "validation", "test")]
    written = [line.rpartition("/")[2] for line in out.splitlines()]
    assert [name.rpartition("-other")[0] for name in written] == names, "more than the run's own"
    assert "70 images, z [12], at most 9.844 KiB" in err
    run, test = vdp.load(smoke_run), np.load(tmp_path / written[2])
    own = run.encode(run.images("test")[:70])
    np.testing.assert_array_equal(test["z_mean"], own.mean)
    np.testing.assert_array_equal(test["z_log_var"], own.log_var)
    np.testing.assert_array_equal(test["labels"], run.labels("test")[:70])
    np.testing.assert_array_equal(test["index"], np.arange(70))
    assert (test["step"], test["split"]) == (run.step, "test")
    noise = np.random.default_rng([0, 2, *b"z"]).standard_normal((70, 12), np.float32)
    np.testing.assert_allclose(test["z_draw"], own.sample(noise), rtol=1e-5, atol=1e-6)
    table = tmp_path / "own.parquet"
    code, _, err = cli(ENCODE, f"--workdir={smoke_run}", f"--out={table}",
                       "--config.eval.max_examples=70", "--config.eval.batch_size=64")  # fmt: skip
    assert code == 0, err
    read = read_table(table)
    assert set(read) == set(test.files) - {"step", "split", "seed"}
    for name, array in read.items():  # in other batches
        np.testing.assert_allclose(array, test[name], rtol=1e-4, atol=1e-5, err_msg=name)


def read_table(path):
    from pyarrow import parquet

    table = parquet.read_table(path)
    assert json.loads(table.schema.metadata[b"vdp"])["split"] == "test"
    shape = lambda name: json.loads((table.schema.field(name).metadata or {}).get(b"shape", b"[]"))
    return {
        name: np.array(table[name].to_pylist()).reshape(-1, *shape(name))
        for name in table.column_names
    }


def test_what_cannot_be_written_is_refused(refused, smoke_run, tmp_path):
    of = (ENCODE, f"--workdir={smoke_run}")
    refused(*of, "--latents=z_3", says=["unknown latent 'z_3'", "z"])
    refused(*of, "--splits=tset", says=["did you mean test?"])
    refused(*of, "--format=csv", says=["unknown format 'csv'", "npz, parquet"])
    refused(*of, "--splits=train,test", f"--out={tmp_path}/a.npz", says=["name a folder"])
    refused("--mode=eval", "--format=npz", says=["--format belongs to --mode=encode"])
    refused("--mode=sample", "--out=a", says=["--mode=encode or --mode=export"])
    assert not list(tmp_path.iterdir())


def test_a_place_for_codes_is_tried_before_the_work(refused, smoke_run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(encode, "restore", lambda *_: pytest.fail("a checkpoint was opened"))
    for out in ("codes.npz", "codes"):
        to = f"--out={tmp_path / 'file' / out}"
        refused(ENCODE, f"--workdir={smoke_run}", to, says=["cannot be written"])


def test_a_model_without_an_encoder_has_no_codes(smoke_run):
    run = dataclasses.replace(vdp.load(smoke_run), model=types.SimpleNamespace())
    with pytest.raises(UserError, match="model vae has no encoder"):
        encode._shapes(run)


def test_a_table_without_its_library_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        codes.check(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="GiB left"):
        codes.check(tmp_path / "a.npz", 2**62)


def ladder(num, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"u": (3, 3, 1), "z_2": (2, 2, 1), "z_1": (4, 4, 1)}
    normals = {n: Normal(*rng.normal(size=(2, num, *s)).astype("f")) for n, s in shapes.items()}
    return Code(normals)


def generators(names):
    return {name: np.random.default_rng([7, *name.encode()]) for name in names}


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_latents_of_a_hierarchy_in_batches(tmp_path, ending):
    path, whole = tmp_path / "new" / f"codes.{ending}", ladder(5)
    cut = lambda part: Code({n: Normal(q.mean[part], q.log_var[part]) for n, q in whole.items()})
    chosen = ("u", "z_1")
    noise, once = generators(chosen), generators(("u", "z_2", "z_1"))
    batches = [
        dict(codes.rows(cut(part), noise, latents=chosen)) for part in (slice(3), slice(3, 5))
    ]
    about = {"step": 1, "split": "test"}
    codes.write(path, batches, np.array([4, -1, 0, 1, 2], np.int32), about)
    read = np.load(path) if ending == "npz" else read_table(path)
    assert not any(name.startswith("z_2") for name in read)
    for name, array in codes.rows(whole, once, latents=tuple(whole)):
        if not name.startswith("z_2"):
            assert read[name].shape == array.shape
            np.testing.assert_array_equal(read[name], array, err_msg=name)
    assert list(read["labels"]) == [4, -1, 0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_code_without_variance_is_its_mean():
    z = jnp.ones((2, 3))
    of = dict(codes.rows(Code({"z": Normal(z, z * -jnp.inf)}), generators("z"), latents=("z",)))
    assert list(of) == ["z_mean"]
    np.testing.assert_array_equal(of["z_mean"], z)


def test_what_is_stopped_leaves_nothing(tmp_path):
    def stopped():
        yield dict(codes.rows(ladder(2), generators(ladder(1)), latents=("u",)))
        raise Interrupted

    with pytest.raises(Interrupted):
        codes.write(tmp_path / "codes.npz", stopped(), np.zeros(4, np.int32), {})
    assert not list(tmp_path.iterdir())
