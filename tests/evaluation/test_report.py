"""The result of an evaluation in words."""

import pytest

from vdp.evaluation import report

EMPTY = dict.fromkeys(("fid", "latents", "rates", "interpolation", "accuracy", "mse"))
ABOUT = {"step": 20, "checkpoint": "best", "split": "test", "num_examples": 1, "estimators": {}}
STRAIGHT = {
    name: {"mean": 1.0, "se": 0.25} for name in ("path_ratio", "unevenness", "nonlinearity")
}


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (None, "test mse 0.01250 a pixel"),
        ({"pairs": 0}, "test mse 0.01250 a pixel"),
        ({"pairs": 2, **STRAIGHT}, "of 2 pairs: path ratio 1.000 ± 0.250 (1: straight)"),
    ],
)
def test_an_autoencoder_of_one_image_has_an_error_and_no_lines_between_codes(between, said):
    words = report.in_words({**EMPTY, **ABOUT, "mse": 0.0125, "interpolation": between})
    (line,) = (line for line in words if "mse" in line)
    assert said in line
    assert ("straight" in line) == bool(between and between["pairs"])


def test_probed_codes_have_their_error_in_percent():
    shares = {"accuracy": 0.875, "se": 0.0125}
    row = {"latent": "z", "linear": shares, "nearest": {"k": 5, "accuracy": 0.5, "se": None}}
    probed = {"num_fitted": 100, "num_scored": 80, "majority": 0.125, "latents": [row]}
    words = report.in_words({**EMPTY, **ABOUT, "representation": probed})
    (line,) = (line for line in words if "probe" in line)
    assert "linear probe 87.5 ± 1.2 %, 5 nearest neighbours 50.0 %; " in line
