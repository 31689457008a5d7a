"""Zero-shot results in words: titles and notes for every report."""

from __future__ import annotations

from collections.abc import Iterator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.values import MODALITIES, child

SCORES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
WAYS = {
    "text_to_imu": "text → IMU",
    "imu_to_text": "IMU → text",
    "text_to_video": "text → video",
    "video_to_text": "video → text",
}


def measured_modalities(found: JsonObject) -> dict[str, str]:
    """Return the titles of the modalities that were classified."""
    return {name: title for name, title in MODALITIES.items() if isinstance(found[name], dict)}


def heading(found: JsonObject) -> str:
    """Return what was classified."""
    windows = counted(int(str(child(found, "imu")["windows"])), "window")
    source = {"activities": "the label at the end of the window", "narrations": "the narration of the window"}
    return f"Zero-shot: {windows} in {len(child(found, 'classes'))} classes, by {source[str(found['truth'])]}"


def notes(found: JsonObject) -> Iterator[str]:
    """Yield how classes are chosen, and why windows were not retrieved by sentences."""
    yield f"A window has the class whose sentences are most similar to it on average{_what_was_trained(found)}."
    if found["retrieval"] is None:
        yield f"No retrieval by sentences: {found['retrieval_reason']}."


def _what_was_trained(found: JsonObject) -> str:
    """Say which classes training has not named."""
    held_out = found.get("held_out")
    if not isinstance(held_out, list):  # the results of an earlier version
        return ""
    if len(held_out) == len(child(found, "classes")):
        return "; the classes were not trained: all were held out"
    if not held_out:
        return "; no class was held out, so that training may have named all of them"
    verb = "was" if len(held_out) == 1 else "were"
    return f"; {', '.join(map(str, held_out))} {verb} held out of training, no other class"
