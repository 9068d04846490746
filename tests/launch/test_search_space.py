"""What a search may choose, and what it refuses before anything is trained."""

import sys

import pytest
from launching import RATES

from launch import points, space
from vdp.errors import UserError

REFUSED = {
    "--space is missing": (),
    "names config.optim.l2 twice": ("--space=optim.l2=0,1", "--space=config.optim.l2=uniform(0,1)"),
    "is no range: the first number has to be below the second": (
        "--space=optim.learning_rate=log(1e-2,1e-3)",
    ),
    "is no range: could not convert string to float": ("--space=optim.l2=uniform(0,much)",),
    "is no range: invalid literal for int": ("--space=train.batch_size=int(16,64.5)",),
    "needs KEY=uniform(A,B), log(A,B)": ("--space=optim.learning_rate=",),
    "--space=config.optim.l2=log(1,2 needs KEY=uniform(A,B)": ("--space=optim.l2=log(1,2",),
    "of different values": ("--space=prior=vdm,vdm",),
    "learning_rte": ("--space=optim.learning_rte=log(1e-3,1e-2)",),
    "noraml": ("--space=prior=normal,noraml",),
    "as --config.optim.l2: use one of them": ("--space=optim.l2=0,1", "--config.optim.l2=3"),
    "leave config.eval.estimators out": (RATES, "--config.eval.estimators=elbo"),
    "needs validation images": (RATES, "--config.data.num_validation=0"),
    "needs a value of type int": ("--space=train.batch_size=uniform(16,64)",),
    "its ends have to be finite": ("--space=optim.learning_rate=log(1e-4,inf)",),
    "set the same length: use one of them": (
        "--space=optim.warmup_steps=1,2",
        "--config.optim.warmup_epochs=5",
    ),
    "nothing to choose by": (
        RATES,
        "--config=digits_vae:smoke,training=prior",
        "--config.train.init_from=first",
        "--config.model.prior.teacher_steps=8",
        "--config.eval.num_steps=4",
    ),
    "has to be the same for all trials": ("--space=eval.every=int(5,10)",),
    "--factor=1 has to be at least 2": (RATES, "--factor=1"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence(sentence, searched, tmp_path):
    code, out, err = searched(*REFUSED[sentence])
    assert code == 2
    assert not out
    assert err.startswith("error: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "search").exists()


def test_without_optuna_the_extra_is_named(searched, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = searched(RATES)
    assert code == 2
    assert "pip install -e '.[search]'" in err


def test_values_are_written_as_the_command_line_has_them():
    forms = space.parse(
        [
            "x.y=logint(8,128)",
            "prior=normal,vdm",
            "shape.z=(8,),(4, 2)",
            "d.e=uniform(0.9,0.999996)",
        ]
    )
    assert list(forms) == ["config.x.y", "prior", "config.shape.z", "config.d.e"]
    tried = {key: space.tried(form) for key, form in forms.items()}
    assert tried["config.x.y"] == [8, 128, 53]
    assert tried["prior"] == ["normal", "vdm"]
    written = [space.written({key: v}, forms)[key] for key, values in tried.items() for v in values]
    assert written == [
        *("8", "128", "53", "normal", "vdm", "(8,)", "(4, 2)"),
        *("0.9", "0.999996", "0.9382"),  # not 1, which is no value of the range
    ]


def test_commas_of_a_value_do_not_end_it():
    split = {
        "((4,2,1),(2,1,1)), ((4,1,1),)": ["((4,2,1),(2,1,1))", "((4,1,1),)"],
        "(8,),[4, 2],2": ["(8,)", "[4, 2]", "2"],
        "'a,b',c": ["'a,b'", "c"],
        "it's,mine": ["it's", "mine"],
        "a),b,": ["a)", "b", ""],
        "{'a': (1, ')')},2": ["{'a': (1, ')')}", "2"],
    }
    assert {text: points.split_values(text) for text in split} == split


def test_a_key_may_be_named_once_however_it_is_written():
    with pytest.raises(UserError, match="twice"):
        points.keyed("--space", ["a.b=1", "config.a.b=2"])
