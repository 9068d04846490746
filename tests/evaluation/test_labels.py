"""Classifiers on images of which some have no label."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vdp.metrics import score

QUICK = (
    "--config=digits_classifier", "--config.train.steps=30", "--config.eval.batch_size=60",
    "--config.model.net.channels=(8,16)", "--config.train.batch_size=32",
    "--config.optim.warmup_steps=5", "--config.optim.learning_rate=1e-2",
)  # fmt: skip


@pytest.fixture
def archive(tmp_path):
    """Writes digits with the labels of these splits; returns the flag that names the file."""
    digits = load_digits()
    images, labels = np.uint8(digits.images), digits.target

    def write(*labelled):
        arrays = {"train_images": images[:300], "test_images": images[300:360], "levels": 17}
        arrays |= {"train_labels": labels[:300]} if "train" in labelled else {}
        arrays |= {"test_labels": labels[300:360]} if "test" in labelled else {}
        np.savez(tmp_path / "mine.npz", **arrays)
        return f"--config.data.name=npz:{tmp_path / 'mine.npz'}"

    return write


def test_accuracy_and_score_are_those_of_the_labelled_images(archive, cli, tmp_path):
    found = {}
    for labelled in (("train",), ("train", "test")):
        place = tmp_path / "-".join(labelled)
        code, _, err = cli(*QUICK, archive(*labelled), f"--workdir={place}")
        assert code == 0, err
        found[labelled] = json.loads((place / "eval.json").read_text())
        assert "NaN" not in (place / "eval.json").read_text()
    alone, both = found.values()
    assert (alone["accuracy"], alone["score"]) == (None, None)
    assert both["accuracy"] > 0.3
    assert np.isfinite(both["score"]["mean"])


def test_training_images_without_labels_are_refused(archive, refused, tmp_path):
    place = f"--workdir={tmp_path / 'run'}"
    refused(*QUICK, archive("test"), place, says=["train images", "label"])


def test_a_score_that_is_not_finite_is_refused(archive, cli, refused, tmp_path, monkeypatch):
    run = (archive("train", "test"), "--config.train.steps=1", f"--workdir={tmp_path / 'run'}")
    assert cli(*QUICK, *run)[0] == 0
    terms = score.flat_terms
    none = lambda *args: {k: v * np.nan for k, v in terms(*args).items()}
    monkeypatch.setattr(score, "flat_terms", none)
    says = ["the score", "is not finite for 60 of 60 images", "checkpoint 1 "]
    refused("--mode=eval", run[-1], says=says)
