"""Find the names of a result file that docs/metrics.md does not define."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from pydantic import JsonValue

_TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def undocumented(metrics: JsonValue, own: Collection[str]) -> list[str]:
    """Names that the page does not mention, except for those of the data itself, `own`."""
    return [
        name for name in sorted(names_in(metrics) - set(own)) if not re.search(rf"`([\w.]+\.)?{name}(\.\w+)*`", _TEXT)
    ]


def names_in(value: JsonValue) -> set[str]:
    """Names of all fields in a value, at any depth."""
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {name for item in value.values() for name in names_in(item)}
