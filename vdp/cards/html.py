"""Pages of HTML, each one file with its style, script and pictures inside, that loads nothing.

Whatever else is to be shown as a page is a fragment of HTML in the same frame:

    from vdp.cards import html
    html.page("A comparison", html.table(("run", "nats"), [("a", "-80.1"), ("b", "-79.4")], (1,)))

`templates/macros.html` has the parts of a fragment: `table`, `pairs` (names and texts), `figure` (a
picture with its caption) and `chart` (a plot). Texts are escaped; what is HTML already is
`markupsafe.Markup`. A fragment is made of `<section><h2>...</h2>...</section>`.
"""

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import jinja2
from markupsafe import Markup, escape

from vdp import __version__
from vdp.cards import curves, markdown, pictures
from vdp.cards.facts import Facts

MINUS = "\N{MINUS SIGN}"
HERO = ("samples", "reconstructions")  # the first of these pictures stands in the head of a card


@functools.cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("vdp.cards"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "points": _points,
        "signed": _signed,
        "marked": _marked,
        "minus": _minus,
        "parted": _parted,
    }
    return made


def page(title: str, body_html: str) -> str:
    """A whole page around the HTML of its body.

    Args:
      title: of the window.
      body_html: what stands in `<main>`, taken as it is.
    """
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=title,
            body=Markup(body_html),
            style=_asset("page.css"),
            script=_asset("page.js"),
            version=__version__,
        )
    )


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()
) -> Markup:
    """A table that scrolls inside the page where it is too wide.

    Args:
      heads: of the columns.
      rows: cells, as many as there are columns; texts are escaped, `Markup` is not.
      numbers: indices of columns that are set to the right.
    """
    macros: Any = _templates().get_template("macros.html").module
    return macros.table(heads, list(rows), numbers)


def card(facts: Facts) -> str:
    """The page of one run."""
    uri = lambda picture: pictures.uri(facts.workdir / picture.path)
    shown = [picture for picture in facts.pictures if not picture.is_drawn]
    heads = [p for name in HERO for p in shown if str(p.path) == f"samples/{name}.png"]
    hero = heads[0] if heads else None
    body = (
        _templates()
        .get_template("card.html")
        .render(
            facts=facts,
            hero=(hero, uri(hero)) if hero else None,
            shown=[(picture, uri(picture)) for picture in shown if picture is not hero],
            steps=[(p, pictures.small_uri(facts.workdir / p.path)) for p in facts.steps],
            rows=[_estimate(row) for row in facts.rows],
            latents=[_latent(row) for row in facts.latents],
            evaluations=[_evaluation(entry) for entry in facts.evaluations],
            no_command=markdown.no_command(facts),
        )
    )
    return page(f"{facts.name}: {facts.title}", body)


def index(**said: Any) -> str:
    """The page of many runs, of the fields that templates/index.html names."""
    return page(said["title"], _templates().get_template("index.html").render(**said))


def _asset(name: str) -> Markup:
    """The text of a file of templates/, as it is."""
    environment = _templates()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _estimate(row: Any) -> tuple[str, ...]:
    kind = escape(row.kind) if row.is_bound else Markup("<b>{}</b>").format(row.kind)
    if row.note:
        kind += Markup("<small>{}</small>").format(row.note)
    seconds = "" if row.seconds is None else f"{row.seconds:,.1f}"
    return row.label, row.model, _minus(row.value), row.bits, kind, seconds


def _latent(row: Any) -> tuple[str, ...]:
    bar = Markup('<span class="bar"><i style="width:{:.1f}%"></i></span>').format(100 * row.share)
    numbers = ["" if n is None else f"{n:,}" for n in (row.height, row.units, row.active, row.used)]
    return row.name, *numbers, _minus(f"{row.rate:.2f}"), bar


def _evaluation(entry: Any) -> tuple[str, ...]:
    link = Markup('<a href="{}">{}</a>').format(markdown.link(entry["file"]), entry["file"])
    return link, entry["settings"], markdown.first_number(entry)


def _points(curve: curves.Curve) -> list[dict[str, Any]]:
    """The lines of a curve for the script: [step, value, x, y] of every point."""
    return [
        {
            "name": line.name,
            "points": [
                [step, float(f"{value:.6g}"), round(x, 5), round(y, 5)]
                for step, value, x, y in line.points
            ],
        }
        for line in curve.lines
    ]


def _signed(value: float, digits: int) -> str:
    return _minus(f"{value:.{digits}f}")


def _minus(text: str) -> str:
    """A number whose sign is as wide as a digit."""
    return text.replace("-", MINUS)


def _parted(text: str) -> Markup:
    """A long name that may be broken where its parts end."""
    return Markup(re.sub(r"([/_,=-]+)", r"\1<wbr>", str(escape(text))))


def _marked(text: str) -> Markup:
    """A text with `code` in backticks."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))
