"""HTML: escaped text, tables, figures, sections, and the page around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import NewType

Html = NewType("Html", str)
"""Markup in which all text from elsewhere is escaped."""
_EMPTY = Html("")
_VOID = ("img", "input")
"""Elements without content."""


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    anchor: str
    title: str
    body: Html


def text(plain: object) -> Html:
    """Escape text."""
    return Html(escape(str(plain)))


def joined(parts: Iterable[Html], between: str = "") -> Html:
    """Join parts."""
    return Html(between.join(parts))


def tag(element: str, content: Html = _EMPTY, /, **attributes: object) -> Html:
    """Return an element. `class_` is the attribute class; other underscores in names of attributes are hyphens."""
    written = "".join(f' {key.strip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Html(f"<{element}{written}>" if element in _VOID else f"<{element}{written}>{content}</{element}>")


def paragraph(plain: str, kind: str = "") -> Html:
    """Return a paragraph of text; `kind` is a class of the style sheet."""
    return tag("p", text(plain), class_=kind) if kind else tag("p", text(plain))


def figure(drawing: Html, caption: str) -> Html:
    """Return a drawing with its caption."""
    return tag("figure", joined([drawing, tag("figcaption", text(caption))]))


def table(head: Sequence[str], rows: Iterable[Html], *, kind: str) -> Html:
    """Return a table whose first column holds the labels (see `row` and `group`); `kind` is its class."""
    columns = joined(tag("th", text(title), scope="col") for title in head)
    parts = [
        tag("thead", tag("tr", columns)),
        tag("tbody", joined(rows)),
    ]
    return tag("div", tag("table", joined(parts), class_=kind), class_="wide")


def row(cells: Sequence[Html]) -> Html:
    """Return a row of a table."""
    return tag("tr", joined(tag("td", cell) for cell in cells))


def group(title: str, columns: int) -> Html:
    """Return a row that is a heading for those below it."""
    return tag("tr", tag("th", text(title), colspan=columns, scope="rowgroup"), class_="group")


def page(title: str, head: Html, sections: Sequence[Section]) -> str:
    """Return the whole page, which needs no other file."""
    style = files("revalexo_clip.reports.html").joinpath("page.css").read_text(encoding="utf-8")
    links = joined((tag("a", text(one.title), href=f"#{one.anchor}") for one in sections), "\n")
    bodies = joined(
        (tag("section", joined([tag("h2", text(one.title)), one.body], "\n"), id=one.anchor) for one in sections), "\n"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n{head}\n{tag('nav', links)}\n</header>\n<main>\n{bodies}\n</main>\n</body>\n</html>\n"
    )
