"""Grids pixel for pixel, their labels, colours of labels, curves, and files in several formats."""

import dataclasses

import numpy as np
import pytest
from matplotlib import colors
from PIL import Image

from vdp.errors import UserError
from vdp.pictures import charts, clouds, grids, style
from vdp.settings import Log

RNG = np.random.default_rng(0)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_grid_is_written_pixel_for_pixel_and_labels_stand_outside(tmp_path, channels):
    images = RNG.uniform(size=(5, 7, 9, channels)).astype(np.float32)
    sheet = np.rint(grids.tile(images, 3) * 255)
    factor = 200 // max(sheet.shape[:2])
    expected = sheet.repeat(factor, 0).repeat(factor, 1)
    grids.save_grid(tmp_path / "plain.png", images, 3, side=200)
    np.testing.assert_array_equal(pixels(tmp_path / "plain.png"), expected)
    labels = dict(rows=["image", "its pseudo-input"], heads=["1", "2", "3"])
    grids.save_grid(tmp_path / "named.png", images, 3, side=200, **labels)
    named = pixels(tmp_path / "named.png")
    height, width = expected.shape[:2]
    np.testing.assert_array_equal(named[-height:, -width:], expected)
    left, above = named[:, :-width], named[:-height]
    for margin in (left, above):
        assert margin.min() < 100, "there is text"
    border = [left[:, 0], left[:, -1], above[0]]
    assert all((side == 255).all() for side in border), "and it is not cut"


def test_no_grey_looks_like_the_ground():
    grey = np.linspace(0, 1, 256)[:, None]
    assert np.abs(grey - np.float32(style.GROUND)).max(axis=1).min() > 0.08


def test_a_last_row_that_is_not_full_stays_above_its_reconstructions(tmp_path, monkeypatch):
    drawn = {}
    keep = lambda path, images, columns, **more: drawn.update(images=images, **more)
    monkeypatch.setattr(grids, "save_grid", keep)
    originals = np.full((5, 2, 2, 1), 0.25)
    grids.save_reconstructions(tmp_path / "r.png", originals, 2 * originals, columns=3)
    first = drawn["images"][:, 0, 0, 0]
    ground = style.GROUND[0]
    np.testing.assert_allclose(
        first, [0.25] * 3 + [0.5] * 3 + [0.25] * 2 + [ground] + [0.5] * 2 + [ground]
    )
    assert drawn["rows"] == ["image", "mean"] * 2


@pytest.mark.parametrize("num", [1, 7, 10, 20])
def test_every_label_has_a_colour_of_its_own_where_its_tick_is(num):
    how = clouds.colors_of(num)
    chosen = {colors.to_hex(how["cmap"](how["norm"](label))) for label in range(num)}
    assert len(chosen) == num
    edges = how["norm"].boundaries
    np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, range(num))


def curve(values):
    return [{"step": 10 * index, "eval/elbo": -value} for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "scale"),
    [([80.0], "linear"), ([120.0, 90.0, 80.0], "linear"), ([900.0, 90.0, 80.0, 79.0], "log"),
     ([50.0, -3.0, -4.0], "linear")],
)  # fmt: skip
def test_curves_show_every_point(tmp_path, monkeypatch, values, scale):
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, *_: figures.append(figure))
    charts.save_curves(tmp_path / "l.png", curve(values), name="elbo", label="nats", scale=-1.0)
    (axes,) = figures[0].axes
    low, high = axes.get_ylim()
    assert low <= min(values) <= max(values) <= high
    assert axes.get_xlim()[0] <= 0
    assert axes.get_yscale() == scale
    assert ("log scale" in axes.get_ylabel()) == (scale == "log")
    assert axes.lines[0].get_marker() == "o"


def test_pictures_in_several_formats(tmp_path):
    path, formats = tmp_path / "grid.png", ("pdf", "svg")
    grids.save_grid(path, np.zeros((2, 3, 3, 1)), 2, rows=["first"], formats=formats)
    assert {p.name for p in tmp_path.iterdir()} == {"grid.pdf", "grid.svg"}
    assert style.paths(path, formats) == [tmp_path / "grid.pdf", tmp_path / "grid.svg"]
    assert (tmp_path / "grid.pdf").read_bytes().startswith(b"%PDF")
    assert ">first</text>" in (tmp_path / "grid.svg").read_text(), "text stays text"


def test_a_plane_of_a_code_that_is_one_number(tmp_path):
    """As of an encoder that tells nothing."""
    images = np.zeros((2, 3, 4, 4, 1), np.float32)
    path = tmp_path / "plane.png"
    grids.save_plane(path, images, np.full(3, 0.5), np.linspace(-1, 1, 2))
    assert path.stat().st_size > 1000


def test_formats_are_checked():
    assert Log(figures=("png", "pdf")).figures == ("png", "pdf")
    for wrong in ((), ("gif",)):
        with pytest.raises(UserError, match="figures"):
            dataclasses.replace(Log(), figures=wrong)
