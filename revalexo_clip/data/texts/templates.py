"""Sentences from activity labels: templates that the name of the activity is put into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.base import LabelledWindows, Recordings
from revalexo_clip.data.texts.base import Texts, WindowTexts
from revalexo_clip.data.windows import Ints

PLACE = "{activity}"
"""What a template has in place of the activity's name."""


class ActivityTemplates(Texts):
    """Describe a window by the activity at its end: a template with the activity's name."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "a person is {activity}",
        "someone is {activity}",
        "the camera wearer is {activity}",
    )
    """Sentences with `{activity}` in the place of the activity's name. A training window has one of them in each epoch,
    an evaluation window the first."""
    names: dict[str, str] = Field(default_factory=dict)
    """What to call activities in sentences, e.g. `{"stairs_up": "walking up stairs"}`. Others have their own name, with
    spaces instead of underscores."""

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if PLACE not in template:
                raise ValueError(f"the template {template!r} has no {PLACE}")
        return templates

    def sentences_of(self, activity: str) -> tuple[str, ...]:
        """Return the sentences of an activity, one for each template."""
        name = self.names.get(activity, activity.replace("_", " "))
        return tuple(template.replace(PLACE, name) for template in self.templates)

    def check(self, activities: tuple[str, ...]) -> None:
        """Raise `ConfigError` if `names` or `held_out` has an activity that the data do not have."""
        for field, named in (("names", tuple(self.names)), ("held_out", self.held_out)):
            for name in named:
                if name not in activities:
                    raise ConfigError(f"texts.{field}: no activity {name}{nearest(name, activities)}")

    def build(self, data: Recordings, windows: LabelledWindows, *, training: bool = False) -> WindowTexts:
        """See `Texts.build`."""
        self.check(windows.activities)
        if 0.0 not in windows.horizons:
            raise ConfigError(
                "texts: ActivityTemplates needs the label at the end of the window; add 0 to data.horizons"
            )
        hidden = self.held_out if training else ()
        of_label = [() if name in hidden else self.sentences_of(name) for name in windows.activities]
        return LabelTexts(of_label, windows.horizons.index(0.0))


class LabelTexts(WindowTexts):
    """Sentences by the label of a window at one of its horizons."""

    def __init__(self, of_label: Sequence[tuple[str, ...]], horizon: int) -> None:
        """`of_label` are the sentences of each label, `horizon` is the index of the horizon."""
        self.sentences = tuple(dict.fromkeys(sentence for one in of_label for sentence in one))
        meaning = {sentence: one[0] for one in reversed(of_label) for sentence in one}
        self.meanings = tuple(meaning[sentence] for sentence in self.sentences)
        place = {sentence: number for number, sentence in enumerate(self.sentences)}
        self._of_label = [np.array([place[sentence] for sentence in one], dtype=np.int64) for one in of_label]
        self._horizon = horizon

    def candidates(self, clip: int, start: float, label_K: Ints) -> Ints:
        """See `WindowTexts.candidates`."""
        label = int(label_K[self._horizon])
        return self._of_label[label] if label >= 0 else np.empty(0, dtype=np.int64)
