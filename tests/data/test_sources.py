"""Every data source: right images from good files, one clear sentence for bad ones."""

import gzip
import hashlib
import os
import pathlib
import pickle
import struct
import sys

import numpy as np
import pytest

from vdp.data import datasets
from vdp.data.sources import cifar10, omniglot
from vdp.errors import UserError
from vdp.settings import Data

REAL = pathlib.Path(os.environ.get("VDP_TEST_DATA", "data"))


def settings(name, **fields):
    return Data(name=name, **fields)


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, *, compress=False, num=(20, 10)):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in zip(("train", "t10k"), num, strict=True):
        for name, array in (
            (f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28))),
            (f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count)),
        ):
            arrays[name] = array
            content = idx(array)
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(content) if compress else content)
    return arrays


@pytest.fixture(autouse=True)
def no_user_data(monkeypatch, tmp_path):
    monkeypatch.delenv("VDP_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no-tfds"))


def test_digits_are_split_once_and_for_all():
    dataset = datasets.load(settings("digits", num_validation=180))
    splits = dataset.splits
    assert [len(splits[n]) for n in ("train", "validation", "test")] == [1257, 180, 360]
    assert dataset.facts.levels == 17
    assert max(split.images.max() for split in splits.values()) == 16
    from sklearn.datasets import load_digits

    everything = np.concatenate([s.images[..., 0].reshape(-1, 64) for s in splits.values()])
    rows = lambda a: sorted(map(bytes, a.astype(np.uint8)))
    assert rows(everything) == rows(load_digits().data)
    again = datasets.load(settings("digits", num_validation=180)).splits
    assert all(np.array_equal(splits[n].images, again[n].images) for n in splits)
    other = datasets.load(settings("digits", num_validation=100)).splits
    assert np.array_equal(splits["test"].images, other["test"].images)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_files_are_read(tmp_path, compress):
    arrays = write_mnist(tmp_path, compress=compress)
    dataset = datasets.load(settings("mnist", dir=str(tmp_path), verify=False))
    train = dataset.splits["train"]
    assert np.array_equal(train.images[..., 0], arrays["train-images-idx3-ubyte"])
    assert np.array_equal(train.labels, arrays["train-labels-idx1-ubyte"])
    assert dataset.splits["test"].images.shape == (10, 28, 28, 1)


def test_checksums_refuse_another_file(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(UserError, match="md5"):
        datasets.load(settings("mnist", dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda b: b[:-100], "announces"),
        (lambda b: b[:3], "not an idx file"),
        (lambda b: b"<html>" + b, "not an idx file"),
        (lambda b: b[:6], "header is cut short"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, damage, says):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=says) as error:
        datasets.load(settings("mnist", dir=str(tmp_path), verify=False))
    assert str(path) in str(error.value)


def test_truncated_gzip_is_named(tmp_path):
    write_mnist(tmp_path, compress=True)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be used"):
        datasets.load(settings("mnist", dir=str(tmp_path), verify=False))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "omniglot", "celeba"])
def test_missing_data_says_what_where_and_how(tmp_path, monkeypatch, name):
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
    with pytest.raises(UserError) as error:
        datasets.load(settings(name, dir=str(tmp_path)))
    message = str(error.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert "config.data.dir" in message
    assert ("config.data.download=True" in message) == (name != "omniglot")
    assert "tensorflow_datasets" not in sys.modules


def test_default_folder_is_below_vdp_data(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("VDP_DATA", str(tmp_path))
    assert len(datasets.load(settings("mnist", verify=False)).splits["train"]) == 20


def write_cifar(folder, kind, num=12):
    rng = np.random.default_rng(1)
    expected = {}
    for names in cifar10.BATCHES.values():
        for name in names:
            planes = rng.integers(0, 256, (num, 3072)).astype(np.uint8)
            labels = rng.integers(0, 10, num).astype(np.uint8)
            expected[name] = (planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)
            if kind == "bin":
                records = np.concatenate([labels[:, None], planes], axis=1)
                (folder / f"{name}.bin").write_bytes(records.tobytes())
            else:
                batch = {b"data": planes, b"labels": labels.tolist()}
                (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return expected


@pytest.mark.parametrize("kind", ["bin", "py"])
@pytest.mark.parametrize("nested", [False, True])
def test_cifar10_official_versions(tmp_path, kind, nested):
    folder = tmp_path / f"cifar-10-batches-{kind}" if nested else tmp_path
    folder.mkdir(exist_ok=True)
    expected = write_cifar(folder, kind)
    splits = datasets.load(settings("cifar10", dir=str(tmp_path), verify=False)).splits
    assert splits["train"].images.shape == (60, 32, 32, 3)
    assert np.array_equal(splits["train"].images[12:24], expected["data_batch_2"][0])
    assert np.array_equal(splits["test"].labels, expected["test_batch"][1])


def test_cifar10_pickle_that_wants_to_run_code_is_refused(tmp_path):
    write_cifar(tmp_path, "py")

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'pwned'}",)

    (tmp_path / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(UserError, match="which no image needs"):
        datasets.load(settings("cifar10", dir=str(tmp_path), verify=False))
    assert not (tmp_path / "pwned").exists()


def test_cifar10_checks_what_is_published(tmp_path):
    write_cifar(tmp_path, "py")
    with pytest.raises(UserError, match="md5"):
        datasets.load(settings("cifar10", dir=str(tmp_path)))
    other = tmp_path / "bin"
    other.mkdir()
    write_cifar(other, "bin")
    with pytest.raises(UserError, match="10,000 records"):
        datasets.load(settings("cifar10", dir=str(other)))
    (other / "test_batch.bin").unlink()
    with pytest.raises(UserError, match=r"test_batch\.bin"):
        datasets.load(settings("cifar10", dir=str(other), verify=False))


def test_cifar10_npz_drops_stand_ins(tmp_path):
    for split, num in (("train", 30), ("test", 10)):
        images = np.random.default_rng(2).integers(0, 256, (num, 32, 32, 3)).astype(np.uint8)
        exact = np.arange(num) % 3 != 0
        np.savez(
            tmp_path / f"cifar10_{split}.npz", images=images, labels=np.zeros(num), exact=exact
        )
    splits = datasets.load(settings("cifar10", dir=str(tmp_path))).splits
    assert (len(splits["train"]), len(splits["test"])) == (20, 6)
    assert np.array_equal(splits["test"].images, images[exact])


def test_omniglot_mat_is_read_column_by_column(tmp_path, monkeypatch):
    import scipy.io

    rng = np.random.default_rng(3)
    images = {"data": rng.random((7, 28, 28)), "testdata": rng.random((3, 28, 28))}
    columns = {k: v.transpose(0, 2, 1).reshape(len(v), 784).T for k, v in images.items()}
    path = tmp_path / "chardata.mat"
    scipy.io.savemat(path, columns)
    splits = datasets.load(settings("omniglot", dir=str(tmp_path), verify=False)).splits
    expected = np.rint(images["testdata"] * 255)[..., None]
    assert np.array_equal(splits["test"].images, expected)
    with pytest.raises(UserError, match="not the published file"):
        datasets.load(settings("omniglot", dir=str(tmp_path)))
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    monkeypatch.setattr(omniglot, "GIT_BLOB", blob)
    with pytest.raises(UserError, match="instead of"):
        datasets.load(settings("omniglot", dir=str(tmp_path)))
    path.write_bytes(content[:300])
    with pytest.raises(UserError, match="cannot be used"):
        datasets.load(settings("omniglot", dir=str(tmp_path), verify=False))


REAL_SETS = [
    ("mnist", 60_000, 10_000),
    ("fashion_mnist", 60_000, 10_000),
    ("cifar10", 49_927, 9_980),
]


@pytest.mark.parametrize(("name", "train", "test"), REAL_SETS)
def test_real_files(name, train, test):
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no real files at {folder}: set VDP_TEST_DATA to their parent folder")
    splits = datasets.load(settings(name, dir=str(folder), num_validation=5000)).splits
    assert (len(splits["train"]) + 5000, len(splits["test"])) == (train, test)
    assert np.bincount(splits["train"].labels, minlength=10).min() > 4000
