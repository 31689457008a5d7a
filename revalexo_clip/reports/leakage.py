"""Warnings about test subjects that were used in training or model selection."""

from __future__ import annotations

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject

_CONSEQUENCE = "so these results do not measure generalisation."
_UNKNOWN = "It is not known which subjects the encoder was trained on, so these results may not measure generalisation."


def seen_text(seen: JsonObject) -> str:
    """Return `trained on A, B and selected on C`; empty if all subjects are new."""
    uses = {"train": "trained on", "val": "selected on"}
    return " and ".join(f"{verb} {', '.join(names)}" for use, verb in uses.items() if (names := _names(seen, use)))


def leakage_warning(seen: JsonValue) -> str:
    """Return a warning if test subjects were used in training or model selection; empty if all are new.

    `seen` is the object of that name in `metrics.json`, or None if the encoder's training subjects are not known.
    """
    if seen is None:
        return _UNKNOWN
    assert isinstance(seen, dict)
    uses = {"train": "training", "val": "model selection"}
    told = [_used(names, use) for key, use in uses.items() if (names := _names(seen, key))]
    return f"{_capitalized(' and '.join(told))}, {_CONSEQUENCE}" if told else ""


def warning_about(name: str, warning: str) -> str:
    """Return a warning that names what it is about; empty if there is no warning."""
    return warning and f"{name}: {warning[0].lower()}{warning[1:]}"


def _used(names: list[str], use: str) -> str:
    if len(names) == 1:
        return f"test subject {names[0]} was used in {use}"
    return f"test subjects {', '.join(names)} were used in {use}"


def _names(seen: JsonObject, use: str) -> list[str]:
    names = seen.get(use)
    return [str(name) for name in names] if isinstance(names, list) else []


def _capitalized(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}"
