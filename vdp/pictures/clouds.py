"""Clouds of codes: those of images, coloured by label, beside draws of the prior."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from vdp.pictures import style

MARGIN = 0.06  # around all points, of their range
FAR = 1.0  # times the range of the central 99 %, beyond it: what lies farther out is only counted
MOST_COLORS = 20  # labels that have a colour each


def save_latents(
    path: pathlib.Path,
    posterior: Float[np.ndarray, "n d"],
    prior: Float[np.ndarray, "m d"] | None,
    labels: Integer[np.ndarray, "n"],
    *,
    formats: Sequence[str] = ("png",),
) -> None:
    """Writes draws of the aggregate posterior, coloured by label, beside draws of the prior.

    The fewer points, the larger and darker they are. All lie inside the frame, but for those far
    out or not finite, whose number is said.

    Args:
      path: the picture.
      posterior: one draw of q(z|x), or the code, of each of N images, [N, D].
      prior: [M, D], or None where there is none; more than two dimensions are projected on the two
        in which the posterior, or of one image the prior, varies most (principal components), one
        is drawn against noise.
      labels: [N], -1 where there is none.
      formats: of the files.
    """
    clouds = [np.asarray(z, np.float64) for z in (posterior, prior) if z is not None]
    finite = [np.isfinite(z).all(axis=1) for z in clouds]
    nowhere = [int(np.sum(~is_so)) for is_so in finite]
    clouds, names = _in_two_dimensions([z[f] for z, f in zip(clouds, finite, strict=True)])
    labels = labels[finite[0]]
    figure = style.figure(4.6 * len(clouds), 5.1)
    panels = figure.subplots(1, len(clouds), sharex=True, sharey=True, squeeze=False)[0]
    what = "codes of" if prior is None else "aggregate posterior,"
    titles = [f"{what} {len(posterior)} images"]
    titles += [f"prior, {len(prior)} draws"] if prior is not None else []
    low, high = limits(np.concatenate(clouds))
    for axes, title, cloud, missing in zip(panels, titles, clouds, nowhere, strict=True):
        outside = int(np.sum(np.any((cloud < low) | (cloud > high), axis=1))) + missing
        axes.set(xlabel=names[0], title=title + (f", {outside} outside" if outside else ""))
        style.dress(axes, grid=None)
    panels[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), ylabel=names[1])
    if not len(labels) or labels.min() < 0:
        panels[0].scatter(*clouds[0].T, color=style.BLUE, **_dots(len(clouds[0])))
    else:
        _labelled(panels[0], clouds[0], labels)
    if prior is not None:
        panels[1].scatter(*clouds[1].T, color="0.25", **_dots(len(clouds[1])))
    style.save(figure, path, formats)


def limits(points: Float[np.ndarray, "n 2"]) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) values of two axes, [2] each, that show points with a margin.

    Points beyond FAR times the range of the central 99 % would leave no room for the others. Of no
    points the limits are those of a standard Gaussian.
    """
    if not len(points):
        return np.full(2, -3.0), np.full(2, 3.0)
    inner = np.percentile(points, [0.5, 99.5], axis=0)
    reach = FAR * (inner[1] - inner[0])
    near = np.all((points >= inner[0] - reach) & (points <= inner[1] + reach), axis=1)
    low, high = points[near].min(0), points[near].max(0)
    margin = np.where(high > low, MARGIN * (high - low), 1.0)
    return low - margin, high + margin


def _dots(num: int) -> dict[str, Any]:
    """Size and transparency of `num` points, which are to be told apart: few are large and dark."""
    size = np.clip(400 / np.sqrt(max(num, 1)), 8, 42)
    alpha = np.clip(1.6 - 0.13 * np.log(max(num, 1)), 0.5, 0.9)
    return dict(s=float(size), alpha=float(alpha), linewidths=0.3, edgecolors="white")


def _labelled(axes: Any, cloud: np.ndarray, labels: np.ndarray) -> None:
    """Points [N, 2] by label, with the names of the colours below these axes."""
    colors = colors_of(int(labels.max()) + 1)
    shown = axes.scatter(*cloud.T, c=labels, **colors, **_dots(len(cloud)))
    if labels.max() >= MOST_COLORS:
        bar = axes.inset_axes([0, -0.22, 1, 0.04])
        how: dict[str, Any] = dict(orientation="horizontal", label="label of the image")
        axes.figure.colorbar(shown, cax=bar, **how).solids.set_alpha(1)
        return
    there = np.unique(labels)
    for label in there:
        axes.scatter([], [], color=colors["cmap"](colors["norm"](label)), s=42, label=str(label))
    axes.legend(
        title="label of the image", loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False,
        ncols=min(len(there), 10), handletextpad=0.0, columnspacing=0.7, borderaxespad=0.0,
    )  # fmt: skip


def _in_two_dimensions(clouds: list[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, str]]:
    """(the clouds, each [N, 2], the names of the two axes) of clouds [N, D]; as `save_latents`."""
    dims = clouds[0].shape[1]
    if dims == 1:
        jitter = np.random.default_rng(0).normal(size=(max(map(len, clouds)), 1))
        return [np.hstack([z, jitter[: len(z)]]) for z in clouds], ("$z_1$", "jitter")
    if dims == 2:
        return clouds, ("$z_1$", "$z_2$")
    # of one image any directions will do
    spread = next((z for z in clouds if len(z) > 1), np.eye(2, dims))
    centre = spread.mean(0)
    _, _, axes = np.linalg.svd(spread - centre, full_matrices=False)
    return [(z - centre) @ axes[:2].T for z in clouds], ("first principal component", "second")


def colors_of(num: int) -> dict[str, Any]:
    """Colour map and norm of labels 0..num - 1; up to MOST_COLORS have one each."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize

    if num > MOST_COLORS:
        return dict(cmap="viridis", norm=Normalize(0, num - 1))
    table = colormaps["tab10" if num <= 10 else "tab20"]
    each = ListedColormap([table(index) for index in range(num)])
    return dict(cmap=each, norm=BoundaryNorm(np.arange(num + 1) - 0.5, num))
