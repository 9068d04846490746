"""What the sub-folders of a folder of pictures say: splits, classes, links, what is no picture."""

import dataclasses
import json

import pytest
from PIL import Image

from vdp.data import datasets
from vdp.data.sources import _pictures, _tree
from vdp.errors import UserError
from vdp.settings import Data


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def names(root):
    """{split: [(path below the folder, class)]}."""
    return {
        split: [(path.relative_to(root).as_posix(), label) for path, label in entries]
        for split, entries in _tree.splits(root).items()
    }


def test_folders_without_names_of_splits_are_classes(tmp_path):
    make(tmp_path, "dog/2.png", "cat/x/1.JPG", "dog/notes.txt")
    expected = [("cat/x/1.JPG", "cat/x"), ("dog/2.png", "dog")]
    assert names(tmp_path) == {"train": expected}


def test_pictures_of_kinds_that_are_not_read_are_counted(tmp_path, caplog):
    make(tmp_path, "a/1.png", "a/2.HEIC", "a/3.heic", "b/4.avif", "b/5.png", "b/notes.txt")
    assert [path for path, _ in names(tmp_path)["train"]] == ["a/1.png", "b/5.png"]
    assert caplog.messages == [
        f"folder {tmp_path}: pictures of other kinds are left out: 2 .heic, 1 .avif"
    ]


def test_splits_have_classes_or_none(tmp_path):
    make(tmp_path, "Train/a/1.png", "valid/a/2.png", "test/3.png")
    assert names(tmp_path) == {
        "train": [("Train/a/1.png", "a")],
        "validation": [("valid/a/2.png", "a")],
        "test": [("test/3.png", "")],
    }


def test_a_validation_folder_is_the_validation_split(tmp_path):
    for name, count in {"train/b": 9, "train/a": 11, "val/b": 4}.items():
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (2, 2), 10 * i + len(name)).save(tmp_path / name / f"{i}.png")
    dataset = datasets.load(Data(name=f"folder:{tmp_path}", num_validation=5))
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 18, "validation": 4, "test": 2,
    }  # fmt: skip
    assert dataset.splits["validation"].images[:, 0, 0, 0].tolist() == [5, 15, 25, 35]
    assert dataset.splits["validation"].labels.tolist() == [1] * 4
    assert dataset.facts.info.num_classes == 2
    assert dataset.facts.info.class_names == ("a", "b")
    stored = json.loads(json.dumps(dataclasses.asdict(dataset.facts.info)))
    assert datasets.recall(stored, Data()).info.class_names == ("a", "b")
    del stored["class_names"]  # as of an older version
    assert datasets.recall(stored, Data()) == dataset.facts
    assert datasets.recall(stored, Data()).info.class_names == ()
    without = datasets.load(Data(name=f"folder:{tmp_path / 'train' / 'a'}"))
    assert set(without.splits["train"].labels.tolist()) == {-1}
    assert without.facts.info.num_classes == 0


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["val/1.png", "test/2.png"], "one of them has to be train"),
        (["train/1.png", "val/1.png", "valid/2.png"], "twice"),
        (["train/1.png", "test/2.png", "extra/3.png"], "beside them images in extra"),
        (["train/1.png", "bus/2.png"], "rename the split if it is a class"),
        (["train/1.png", "test/notes.txt"], "test holds no images"),
        (["cat/train/1.png", "cat/test/2.png"], "test below cat"),
        (["train/cat/1.png", "train/cover.png"], r"1 images beside them, .*cover\.png"),
        (["1.heic", "2.heic"], r"no images.*but \.heic"),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path, paths, says):
    make(tmp_path, *paths)
    with pytest.raises(UserError, match=says):
        _tree.splits(tmp_path)


def test_what_systems_leave_behind_is_skipped(tmp_path):
    make(
        tmp_path, "cat/1.png", "cat/._1.png", "cat/.ipynb_checkpoints/1-checkpoint.png",
        "cat/Thumbs.db", "desktop.ini", "__MACOSX/cat/1.png", "notes.txt",
    )  # fmt: skip
    assert names(tmp_path) == {"train": [("cat/1.png", "cat")]}


def test_links_are_followed_and_loops_end(tmp_path):
    make(tmp_path, "images/cat/1.png", "elsewhere/2.png")
    root = tmp_path / "images"
    (root / "dog").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "cat" / "loop").symlink_to(root, target_is_directory=True)
    assert names(root) == {"train": [("cat/1.png", "cat"), ("dog/2.png", "dog")]}
    (root / "bird").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="bird is a link to nowhere"):
        _tree.splits(root)


def test_a_folder_of_more_than_the_memory_holds_is_refused_by_its_first_pictures(
    tmp_path, monkeypatch
):
    for index in range(12):
        Image.new("L", (64, 64)).save(tmp_path / f"{index}.png")
    memory = {"SC_PAGE_SIZE": 1024, "SC_PHYS_PAGES": 40}  # 12 pictures take 48 KiB
    monkeypatch.setattr("os.sysconf", memory.__getitem__)
    read = []
    monkeypatch.setattr(
        "vdp.data.sources._pictures.read",
        lambda path, request, own=_pictures.read: read.append(path) or own(path, request),
    )
    with pytest.raises(UserError, match=r"set data\.resize=HxW, or keep fewer of them"):
        datasets.load(Data(name=f"folder:{tmp_path}"))
    assert len(read) == 1


def test_one_large_picture_among_small_ones_is_one_of_another_size(tmp_path, monkeypatch):
    for index, side in enumerate([8, 8, 64, 8, 8, 8, 8, 8, 8, 8, 8, 8]):
        Image.new("L", (side, side)).save(tmp_path / f"{index:02}.png")
    memory = {"SC_PAGE_SIZE": 1024, "SC_PHYS_PAGES": 40}  # as many large ones would take 48 KiB
    monkeypatch.setattr("os.sysconf", memory.__getitem__)
    with pytest.raises(UserError, match="64x64"):
        datasets.load(Data(name=f"folder:{tmp_path}"))
