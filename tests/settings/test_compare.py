"""Records of runs from before a field was there."""

import re

import pytest

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.settings import Data, compare

HAVING = {  # a config that has the field, with what it meant before there was one
    "model.free_bits": ("digits_dvp", "0.5"),
    "model.log_var_u": ("mnist_dvp:reference", "(-12.0,-4.0)"),
    "model.decoder.output": ("cifar10_dcgan", "linear"),
    "model.prior.reverse": ("digits_dvp", "learned"),
    "model.prior.teacher_steps": ("digits_dvp", "2"),
    "model.prior.train_times": ("digits_dvp", "4"),
    "model.prior.net.bounds": ("digits_vae:prior=flow", "narrow"),
}


def as_before(path):
    """The field as it was meant, where the config says so in a word; others have it so."""
    meant = compare.ADDED[path]
    return [(path, meant)] if isinstance(meant, str) else []


def without(settings, path):
    """The settings as a run from before the field has them."""

    def left(tree, names):
        here = {k: v for k, v in tree.items() if len(names) > 1 or k != names[0]}
        return here | ({names[0]: left(tree[names[0]], names[1:])} if len(names) > 1 else {})

    return settings.replace(model=left(settings.model, path.split(".")[1:]))


@pytest.mark.parametrize("path", compare.ADDED)
def test_a_run_from_before_a_field_goes_on_where_it_has_no_effect(path):
    argument, otherwise = HAVING[path]
    now = config.settings(argument, as_before(path))
    before = without(now, path)
    assert before != now
    compare.check_resumable(before, now)
    compare.check_resumable(now, before)
    compare.check_same_run(before, now)
    other = config.settings(argument, [(path, otherwise)])
    with pytest.raises(UserError, match=path.replace(".", r"\.")):
        compare.check_resumable(before, other)


@pytest.mark.parametrize("path", compare.ADDED)
def test_a_model_without_the_field_is_the_one_that_it_meant(path):
    now = config.settings(HAVING[path][0], as_before(path))
    facts = datasets.describe(now.replace(data=dict(name="synthetic:32x32x3")).data)
    facts = facts if "cifar10" in HAVING[path][0] else datasets.describe(now.data)
    built = [build.assemble(each.model, facts) for each in (now, without(now, path))]
    said = [re.sub(" at 0x[0-9a-f]+", "", repr(model)) for model in built]  # every field of it
    assert said[0] == said[1]
    assert path.split(".")[-1] in said[0]


def test_one_file_by_two_names_is_split_otherwise_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.npz").touch()
    (tmp_path / "link.npz").symlink_to("mine.npz")
    stored = Data(name="npz:mine.npz", split_seed=1)
    for path in (tmp_path / "mine.npz", "./mine.npz", "link.npz"):
        found = compare.split_otherwise(stored, Data(name=f"npz:{path}"))
        assert found == {"split_seed": (1, 0)}
    assert not compare.split_otherwise(stored, Data(name="npz:other.npz"))
    assert not compare.split_otherwise(stored, Data(name="npz:link.npz", split_seed=1))
    assert compare.same_images(stored, Data(name="npz:./link.npz", split_seed=1))
    assert not compare.same_images(stored, Data(name="npz:other.npz", split_seed=1))


def test_fewer_images_of_other_data_may_be_held_out():
    """A run's 180 validation images would leave none of a small folder, in which none was seen."""
    trained = config.settings("digits_vae")
    others = lambda name: trained.replace(data=dict(name=name, num_validation=0))
    compare.check_same_run(trained, others("npz:few.npz"))
    with pytest.raises(UserError, match="num_validation"):
        compare.check_same_run(trained, others("digits"))
    moved = trained.replace(data=dict(name="npz:few.npz", split_seed=1))
    with pytest.raises(UserError, match="split_seed"):
        compare.check_same_run(trained, moved)


def test_of_a_component_of_another_kind_the_kind_alone_is_listed():
    now, other = config.settings("digits_dcgan:prior=vamp"), config.settings("digits_dcgan")
    with pytest.raises(UserError) as error:
        compare.check_resumable(now, other)
    listed = re.findall(r"([\w./]+) \(was", str(error.value))
    assert listed == ["model.prior.name", "optim.groups.prior"]


def test_a_part_without_a_rate_of_its_own_has_that_of_what_it_lies_in():
    now = config.settings("digits_dcgan", [("optim.groups.decoder/likelihood", "1")])
    groups = {k: v for k, v in now.optim.groups.items() if k != "decoder/likelihood"}
    compare.check_resumable(now.replace(optim=dict(groups=groups)), now)
    held = now.replace(optim=dict(groups=groups | {"decoder": 0.0}))
    with pytest.raises(UserError, match=r"decoder/likelihood \(was 0.0, now 1.0\)"):
        compare.check_resumable(held, now)
