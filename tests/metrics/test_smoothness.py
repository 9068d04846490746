"""How smooth decoded lines are: curves whose numbers are known, and the pictures of codes."""

import json

import numpy as np
import pytest
from PIL import Image

import vdp
from vdp.evaluation import interpolation
from vdp.metrics import smoothness
from vdp.pictures import clouds, grids, latent_space

T = np.linspace(0, 1, 17)


def numbers(curve):
    """(path ratio, unevenness, nonlinearity) of one curve [17, D]."""
    each = smoothness.measures(np.asarray(curve)[None])
    return [float(each[name][0]) for name in ("path_ratio", "unevenness", "nonlinearity")]


def test_a_straight_line_at_even_speed_is_smooth():
    ends = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype(np.float32)
    lines = smoothness.between(*ends, 17)
    assert lines.shape == (3, 17, 4, 4, 1)
    np.testing.assert_array_equal(lines[:, [0, -1]], np.stack(ends, axis=1))
    np.testing.assert_allclose(lines[:, 4], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)
    for name, value in (("path_ratio", 1), ("unevenness", 1), ("nonlinearity", 0)):
        np.testing.assert_allclose(smoothness.measures(lines)[name], value, atol=1e-5)


def test_a_straight_line_at_uneven_speed_is_uneven_alone():
    squared = np.stack([T**2, -(T**2)], axis=1)  # the largest of 16 steps is 1 - (15/16)^2
    np.testing.assert_allclose(numbers(squared), [1, 16 * 31 / 256, 0.5], rtol=1e-12)


def test_half_a_circle_and_a_detour():
    circle = np.stack([np.cos(np.pi * T), np.sin(np.pi * T)], axis=1)
    np.testing.assert_allclose(numbers(circle), [16 * np.sin(np.pi / 32), 1, 1], rtol=1e-12)
    assert abs(numbers(circle)[0] / (np.pi / 2) - 1) < 2e-3
    there_and_on = np.stack([T, 2 * np.minimum(T, 1 - T)], axis=1)  # two sides of a triangle
    np.testing.assert_allclose(numbers(there_and_on), [np.sqrt(5), 1, 2], rtol=1e-12)


def test_pairs_that_decode_to_one_image_are_left_out():
    curves = np.stack([T, 0 * T + 0.3, np.sin(np.pi * T), 1e-9 * T], axis=0)[..., None]
    with np.errstate(all="raise"):
        each = smoothness.measures(curves)
        assert {name: len(values) for name, values in each.items()} == dict.fromkeys(each, 1)
        none = smoothness.summary(smoothness.measures(curves[1:]))
    assert none == {"path_ratio": None, "unevenness": None, "nonlinearity": None}
    found = smoothness.summary({"path_ratio": np.array([1.0, 2.0, 3.0, 4.0])})
    np.testing.assert_allclose(
        list(found["path_ratio"].values()), [2.5, np.sqrt(5 / 3) / 2], rtol=1e-12
    )


@pytest.fixture(scope="module")
def ae_run(tmp_path_factory):
    """(workdir, what was said) of a smoke run of an autoencoder whose codes are a plane."""
    import contextlib
    import io

    from vdp import main

    workdir, said = tmp_path_factory.mktemp("runs") / "ae", io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main.run(
            [
                "--config=digits_ae:kind=denoising,latent=2,smoke",
                f"--workdir={workdir}",
            ]
        )
    assert code == 0, said.getvalue()
    return workdir, said.getvalue()


def test_an_autoencoder_reports_errors_and_no_bound(ae_run, smoke_run):
    workdir, said = ae_run
    found = json.loads((workdir / "eval.json").read_text())
    assert set(found) == set(json.loads((smoke_run / "eval.json").read_text()))
    assert set(found["estimators"].values()) == {None}
    assert found["fid"] is found["active_units"] is found["rates"] is found["sampling"] is None
    run = vdp.load(workdir)
    images = run.images("test")[:64]
    errors = (run.reconstruct(images) - images / 16) ** 2
    np.testing.assert_allclose(found["mse"], errors.mean(), rtol=1e-5)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    keys = {key for line in lines for key in line}
    assert {"train/squared_error", "eval/squared_error", "train/loss"} <= keys
    assert not [key for key in keys if "elbo" in key or "bits" in key]
    assert all(line["eval/squared_error"] > 0 for line in lines if "eval/squared_error" in line)
    assert "squared error an image" in said
    assert "images between two codes" in said
    assert "nats" not in said
    assert "elbo" not in said
    written = {path.stem for path in (workdir / "samples").glob("*.png")}
    assert written == {"reconstructions", "interpolations", "bilinear", "plane", "latents"}


def test_checkpoints_are_compared_by_the_smallest_error(ae_run):
    lines = [json.loads(line) for line in (ae_run[0] / "metrics.jsonl").read_text().splitlines()]
    errors = {m["step"]: m["eval/squared_error"] for m in lines if "eval/squared_error" in m}
    assert vdp.load(ae_run[0], step="best").step == min(errors, key=errors.get)
    assert len(set(errors.values())) == 3


def test_the_numbers_are_those_of_pairs_from_either_half(smoke_run, monkeypatch):
    """Of a VAE too: between posterior means, image 0 with 32, 1 with 33 and so on."""
    found = json.loads((smoke_run / "eval.json").read_text())["interpolation"]
    run = vdp.load(smoke_run)
    images = run.images("test")[:64]
    codes = run.encode(images).mean
    weights = T.reshape(1, 17, 1).astype(np.float32)
    lines = (1 - weights) * codes[:32, None] + weights * codes[32:, None]
    each = smoothness.measures(run.decode(lines.reshape(-1, 12)).reshape(32, 17, 8, 8, 1))
    assert (found["steps"], found["pairs"], found["skipped"]) == (16, 32, 0)
    for name, values in each.items():
        expected = [values.mean(), values.std(ddof=1) / np.sqrt(32)]
        np.testing.assert_allclose(list(found[name].values()), expected, rtol=1e-4)
        assert values.std() > 0
    monkeypatch.setattr(interpolation, "PAIRS_AT_ONCE", 3)
    monkeypatch.setattr(interpolation, "PAIRS", 10)
    fewer = interpolation.measure(run, images)
    assert fewer["pairs"] == 10
    np.testing.assert_allclose(
        fewer["path_ratio"]["mean"], each["path_ratio"][:10].mean(), rtol=1e-4
    )


def test_the_corners_of_the_square_are_four_reconstructions(smoke_run, tmp_path, monkeypatch):
    drawn = {}
    keep = lambda path, images, columns, **_: drawn.update({path.stem: (images, columns)})
    monkeypatch.setattr(grids, "save_grid", keep)
    run = vdp.load(smoke_run)
    images = run.images("test")[:6]
    codes = run.encode(images).mean
    latent_space.write_bilinear(run, tmp_path / "bilinear.png", images)
    square, columns = drawn["bilinear"]
    assert (len(square), columns) == (100, 10)
    np.testing.assert_allclose(square[[0, 9, 90, 99]], run.decode(codes[:4]), atol=1e-5)
    row, column = 2 / 9, 7 / 9
    a, b, c, d = codes[:4]
    top, bottom = (1 - column) * a + column * b, (1 - column) * c + column * d
    inside = run.decode(((1 - row) * top + row * bottom)[None])[0]
    np.testing.assert_allclose(square[27], inside, atol=1e-5)
    latent_space.write_interpolations(run, tmp_path / "interpolations.png", images)
    lines, columns = drawn["interpolations"]
    assert (len(lines), columns) == (30, 10)
    np.testing.assert_allclose(
        lines[[0, 9, 10, 19, 20, 29]], run.decode(codes[[0, 3, 1, 4, 2, 5]]), atol=1e-5
    )


def test_the_plane_spans_the_central_codes(ae_run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(grids, "save_plane", lambda path, *args, **_: drawn.extend(args))
    run = vdp.load(ae_run[0])
    images = run.images("test")
    latent_space.write_plane(run, tmp_path / "plane.png", images)
    decoded, first, second = drawn
    codes = run.encode(images).mean
    for axis, values in enumerate((first, second)):
        np.testing.assert_allclose(values[[0, -1]], np.percentile(codes[:, axis], [1, 99]))
        np.testing.assert_allclose(np.diff(values), np.diff(values)[0], rtol=1e-4)
    expected = run.decode(np.array([[first[3], second[11]]]))[0]
    np.testing.assert_allclose(decoded[11, 3], expected, atol=1e-5)


def test_the_plane_grows_to_the_right_and_upwards(tmp_path):
    """Squares that are brighter to the right, and white in the top row."""
    shade = np.linspace(0.1, 0.4, 4)
    images = np.broadcast_to(shade[None, :, None, None, None], (3, 4, 8, 8, 1)).copy()
    images[-1] = 1.0
    grids.save_plane(tmp_path / "p.png", images, np.linspace(-1, 1, 4), np.linspace(0, 6, 3))
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture.convert("L"), np.float64) / 255
    height, width = pixels.shape
    row = pixels[int(0.7 * height), int(0.2 * width) : int(0.95 * width)]
    shades = row[(row > 0.05) & (row < 0.45)]  # 0.5 is between the images
    assert np.all(np.diff(shades) >= 0)
    assert {round(s, 1) for s in shades} == {0.1, 0.2, 0.3, 0.4}
    column = pixels[:, int(0.6 * width)]
    assert column[int(0.2 * height)] > 0.99 > 0.45 > column[int(0.8 * height)]


def test_codes_without_a_prior_fill_one_panel(tmp_path):
    rng = np.random.default_rng(0)
    for dims in (1, 2, 5):
        codes, labels = rng.normal(size=(50, dims)), rng.integers(0, 10, 50)
        clouds.save_latents(tmp_path / "one.png", codes, None, labels)
        clouds.save_latents(tmp_path / "two.png", codes, codes, labels)
        with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
            assert one.width < 0.7 * two.width
            assert len(np.unique(np.asarray(one))) > 10


@pytest.mark.parametrize(("num", "most"), [(360, 500), (10_000, 500), (7, 2), (2, 500), (1, 500)])
def test_ends_of_lines_are_spread_over_images_that_are_sorted_by_class(num, most):
    chosen = interpolation.pairs(num, most)
    assert len(set(chosen)) == len(chosen) == 2 * min(num // 2, most)
    if len(chosen):
        assert (chosen < num).all()
        np.testing.assert_allclose(chosen[1::2] - chosen[0::2], num / 2, atol=1.5)
        assert chosen.min() == 0
        assert chosen.max() >= num - 1 - num / len(chosen)
