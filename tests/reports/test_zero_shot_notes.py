"""What reports say about the training of the classes of a zero-shot evaluation."""

from __future__ import annotations

import pytest

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.zero_shot import notes


@pytest.mark.parametrize(
    ("held_out", "words"),
    [
        (["a", "b"], "the classes were not trained"),
        (["b"], "; b was held out of training, no other class."),
        ([], "training may have named all of them"),
    ],
)
def test_classes_are_called_untrained_only_if_all_were_held_out(held_out: list[str], words: str) -> None:
    found: JsonObject = {"classes": {"a": ["x"], "b": ["y"]}, "held_out": [*held_out], "retrieval": {}}
    (note,) = notes(found)
    assert words in note
    assert ("were not trained" in note) == (len(held_out) == 2)
    del found["held_out"]
    (earlier,) = notes(found)
    assert earlier == "A window has the class whose sentences are most similar to it on average."
