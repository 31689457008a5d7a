"""Results, read from the JSON that holds them, as reports write them."""

from __future__ import annotations

from pydantic import JsonValue
from rich import box
from rich.table import Table

from revalexo_clip.core.component import JsonObject


def object_of(value: JsonValue) -> JsonObject:
    """What is known to be an object."""
    assert isinstance(value, dict)
    return value


def list_of(value: JsonValue) -> list[JsonValue]:
    """What is known to be a list."""
    assert isinstance(value, list)
    return value


def percent(value: JsonValue) -> str:
    """A share as `12.3%`; a dash where it was not measured."""
    return "-" if value is None else f"{100 * float(str(value)):.1f}%"


def seconds(value: JsonValue) -> str:
    """A horizon [s] as `0.5 s`."""
    return f"{float(str(value)):g} s"


def titled_table(title: str) -> Table:
    """A table as reports in a terminal have them."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
