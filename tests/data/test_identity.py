"""Data that changes under a run: noticed split by split, where it is meant to be the same."""

import dataclasses

import numpy as np
import pytest

from vdp.data import datasets, identity
from vdp.data.core import Split
from vdp.errors import UserError
from vdp.settings import Data

DATA = Data(name="synthetic:8x8x1x17", num_validation=9)


def edited(dataset, name, **fields):
    split = dataclasses.replace(dataset.splits[name], **fields)
    return dataclasses.replace(dataset, splits=dataset.splits | {name: split})


def test_pixels_labels_order_and_levels_are_told_apart():
    dataset = datasets.load(DATA)
    stored = identity.hashes(dataset)
    assert set(stored) == {"train", "validation", "test"}
    assert identity.hashes(datasets.load(DATA)) == stored
    test = dataset.splits["test"]
    pixels = test.images.copy()
    pixels[3, 2, 1] ^= 1
    backwards = Split(images=test.images[::-1], labels=test.labels[::-1])
    for other in (
        edited(dataset, "test", images=pixels),
        edited(dataset, "test", labels=(test.labels + 1).astype(np.int32)),
        edited(dataset, "test", images=backwards.images, labels=backwards.labels),
    ):
        assert identity.changed(stored, identity.hashes(other)) == ["test"]
    info = dataclasses.replace(dataset.facts.info, levels=16)
    facts = dataclasses.replace(dataset.facts, info=info)
    other = dataclasses.replace(dataset, facts=facts)
    assert len(identity.changed(stored, identity.hashes(other))) == 3


def test_changed_data_is_refused_where_the_settings_mean_the_same():
    facts = datasets.describe(DATA)
    stored = identity.hashes(datasets.load(DATA)) | {"test": "0" * 16}
    drawn = dataclasses.replace(DATA, binarization="dynamic", placement="host", dir="/elsewhere")
    for data in (DATA, drawn):
        with pytest.raises(UserError, match=r"the test images of synthetic.*config\.data\.name"):
            identity.load(data, datasets.describe(data), trained=DATA, stored=stored)
    other = dataclasses.replace(DATA, split_seed=3)
    assert identity.load(other, facts, trained=DATA, stored=stored).splits["test"]
    assert identity.load(DATA, facts, trained=DATA, stored={}).splits["test"], "of an older run"


def test_labels_of_other_classes_are_refused():
    facts = datasets.describe(DATA)
    of = lambda *names: dataclasses.replace(
        facts, info=dataclasses.replace(facts.info, class_names=names)
    )
    identity.check_classes(of("a", "b"), of("a", "b"), name="folder:x")
    identity.check_classes(of(), of("a", "b"), name="folder:x")
    with pytest.raises(UserError, match="the classes of folder:x are b, c, and those of this run"):
        identity.check_classes(of("b", "c"), of("a", "b"), name="folder:x")
    more = dataclasses.replace(facts, info=dataclasses.replace(facts.info, num_classes=11))
    with pytest.raises(
        UserError, match=r"npz:x has 11 classes, and the classifier of this run .* 10"
    ):
        identity.check_classes(more, facts, name="npz:x")
    identity.check_classes(facts, more, name="npz:x")


@pytest.mark.parametrize(
    ("name", "field"), [("folder:none", "name=folder:PATH"), ("mnist", "dir=DIR")]
)
def test_absent_images_of_a_run_are_named_in_two_ways(tmp_path, name, field):
    data = Data(name=name, dir=str(tmp_path))
    says = (
        rf"config\.data\.{field} at the command line, by vdp\.load\(\.\.\., data=PATH\) in Python"
    )
    with pytest.raises(UserError, match=says):
        identity.load(data, datasets.describe(DATA), trained=data, stored={})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("8x8x1x18", r"18 levels where .* takes 17: ask for config\.data\.levels=17 \(in"),
        ("8x8x1x16", r"16 levels where .* takes 17: name other data"),
        ("6x8x1x17", r"6x8x1 where .* takes 8x8x1: ask for config\.data\.resize=8x8 .*, or name"),
        ("6x8x1x17", r"in Python data=dict\(name=\.\.\., resize='8x8'\)"),
        ("8x8x3x17", r"8x8x3 where .* takes 8x8x1: name other data"),
    ],
)
def test_images_that_a_model_is_not_made_for_are_refused(other, says):
    data = Data(name=f"synthetic:{other}", num_validation=9)
    with pytest.raises(UserError, match=says):
        identity.load(data, datasets.describe(DATA), trained=DATA, stored={})


def test_levels_that_an_archive_does_not_say_are_asked_for_there(tmp_path):
    """By data.levels=17 whole numbers of 0..16 would become black: they are read as 0..255."""
    np.savez(tmp_path / "x.npz", images=np.arange(20 * 64).reshape(20, 8, 8) % 17)
    data = Data(name=f"npz:{tmp_path / 'x.npz'}")
    with pytest.raises(UserError, match=r"holds 0\.\.16, store levels=17 in the archive; ask for"):
        identity.load(data, datasets.describe(DATA), trained=DATA, stored={})
