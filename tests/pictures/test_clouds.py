"""Clouds of codes: all points in the frame, told apart, and labels where they belong."""

import numpy as np
import pytest

from vdp.pictures import clouds, style

RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws clouds and gives the panels."""
    figures = []
    monkeypatch.setattr(style, "save", lambda figure, *_: figures.append(figure))

    def draw(*arguments):
        clouds.save_latents(tmp_path / "latents.png", *arguments)
        return figures[-1].axes

    return draw


def test_every_point_is_inside_with_a_margin_but_those_far_out_which_are_counted(drawn):
    codes = RNG.normal(size=(400, 2))
    prior = np.concatenate([RNG.normal(size=(300, 2)), [[300.0, 0.0], [2.0, -900.0]]])
    left, right = drawn(codes, prior, np.zeros(400, int))
    (low_x, high_x), (low_y, high_y) = left.get_xlim(), left.get_ylim()
    near = np.concatenate([codes, prior[:300]])
    assert low_x < near[:, 0].min() < near[:, 0].max() < high_x < 10
    assert low_y < near[:, 1].min() < near[:, 1].max() < high_y < 10
    assert "outside" not in left.get_title()
    assert right.get_title() == "prior, 302 draws, 2 outside"


def test_what_is_not_finite_is_counted_and_not_drawn(drawn):
    codes, prior = RNG.normal(size=(40, 3)), RNG.normal(size=(200, 3))
    codes[2], prior[7, 1], prior[9, 0] = np.nan, np.nan, np.inf
    left, right = drawn(codes, prior, np.arange(40) % 3)
    assert left.get_title().endswith("40 images, 1 outside")
    assert right.get_title() == "prior, 200 draws, 2 outside"
    assert len(left.collections[0].get_offsets()) == 39
    drawn(np.full((4, 2), np.nan), None, np.zeros(4, int))


def test_few_points_are_large_and_dark(drawn):
    sizes, alphas = [], []
    for num in (60, 360, 2000):
        points = drawn(RNG.normal(size=(num, 2)), None, -np.ones(num, int))[0].collections[0]
        sizes.append(points.get_sizes()[0])
        alphas.append(points.get_alpha())
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2]
    assert alphas[0] >= alphas[1] > alphas[2]


def test_labels_are_named_in_the_panel_they_belong_to(drawn):
    labels = np.array([0, 3, 3, 9])
    left, right = drawn(RNG.normal(size=(4, 3)), RNG.normal(size=(8, 3)), labels)
    legend = left.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "3", "9"]
    assert right.get_legend() is None
    of_points = left.collections[0].to_rgba(labels)[[0, 1, 3]]
    named = [points.get_facecolor()[0] for points in left.collections[1:]]
    np.testing.assert_allclose(np.array(named)[:, :3], of_points[:, :3])
    many = drawn(RNG.normal(size=(40, 2)), None, np.arange(40))
    assert many[0].get_legend() is None, "a bar of colours below"
