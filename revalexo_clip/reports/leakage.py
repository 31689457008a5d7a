"""."""

from __future__ import annotations

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject


def seen_text(seen: JsonObject) -> str:
    """`trained on A, B and selected on C`; empty where all are new."""
    uses = {"train": "trained on", "val": "selected on"}
    told = [
        f"{verb} {', '.join(map(str, names))}"
        for use, verb in uses.items()
        if isinstance(names := seen.get(use), list) and names
    ]
    return " and ".join(told)


def leakage_warning(seen: JsonValue) -> str:
    """In which way an activity classifier's figures flatter it; empty where all test subjects are new.

    `seen` is the object of that name, or None where nobody knows on whom the encoder was trained.
    """
    if seen is None:
        return "may flatter it: it is not known on whom its encoder was trained"
    assert isinstance(seen, dict)
    told = seen_text(seen)
    return told and f"flatter it: it was {told}"
