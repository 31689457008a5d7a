"""Narrations: sentences about moments of a clip, from the dataset itself or from a JSON file in its folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, RootModel, ValidationError

from revalexo_clip.core.component import describe, nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data.base import LabelledWindows, Recordings
from revalexo_clip.data.texts.base import KnowsSentences, OffersTexts, Texts, WindowTexts
from revalexo_clip.data.windows import TIME_DECIMALS, Floats, Ints

FILE = "narrations.json"
"""Usual name of the file of narrations, in the folder of a dataset."""


class Narration(BaseModel):
    """A sentence about a moment: an entry of the file of narrations."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    time: float
    """Time in the clip [s]."""
    text: str = Field(min_length=1)
    """The sentence."""
    meaning: str | None = Field(default=None, alias="class", min_length=1)
    """What the sentence says, if that is known: sentences of the same class in other words mean the same. A sentence
    has its class wherever it is."""


class _File(RootModel[dict[str, list[Narration]]]):
    """The file of narrations: those of each clip, by `subject/pair id`."""


def read_narrations(path: Path) -> Mapping[str, Sequence[Narration]]:
    """Read a file of narrations: `{"Subject01/0001": [{"time": 1.5, "text": "..."}]}`, times in the clip [s].

    Raises `DataError`, naming the file and the entry, if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file of narrations; set texts.file, or use texts.type=ActivityTemplates, which needs none"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    try:
        return _File.model_validate_json(text).root
    except ValidationError as error:
        first = describe(error).partition("\n")[0]
        raise DataError(f'{path}: not a file of narrations ({{"clip": [{{"time": s, "text": ...}}]}}): {first}') from (
            error
        )


class Narrations(Texts):
    """Describe a window by a narration of one of its moments."""

    file: str | None = None
    """JSON file in the dataset's folder, `{"Subject01/0001": [{"time": 1.5, "text": "a person walks"}]}` with times in
    the clip [s]; null for the narrations that the dataset itself has, or else `narrations.json`."""
    margin: NonNegativeFloat = 0.0
    """How far before or after a window its narrations may lie [s]. A training window has one of them, drawn in each
    epoch; an evaluation window the one nearest to its centre."""

    def build(self, data: Recordings, windows: LabelledWindows, *, training: bool = False) -> WindowTexts:
        """See `Texts.build`."""
        clips, known = self._of_clips(data, windows)
        if known is not None:
            for name in self.held_out:
                if name not in known:
                    raise ConfigError(f"texts.held_out: no narration means {name}{nearest(name, sorted(known))}")
        clips = [clip.without(self.held_out if training else ()) for clip in clips]
        if not any(len(clip.time_S) for clip in clips):
            raise DataError(f"texts: none of the {len(clips)} clips of {', '.join(_subjects(windows))} has a narration")
        texts = NarrationTexts(clips, windows.imu_spec.window, self.margin)
        texts.elsewhere = known or ()
        return texts

    def _of_clips(
        self, data: Recordings, windows: LabelledWindows
    ) -> tuple[list[NarratedClip], Collection[str] | None]:
        """Return the narrations of each clip, and what those of all splits mean; None if that is not known."""
        if self.file is None and isinstance(windows, OffersTexts):
            offered = (windows.texts(clip) for clip in range(len(windows.clip_names)))
            clips = [NarratedClip(found.time_S, tuple(found.texts), tuple(found.texts)) for found in offered]
            return clips, data.sentences() if isinstance(data, KnowsSentences) else None
        root = getattr(data, "root", None)
        if not isinstance(root, Path):
            raise ConfigError(f"texts: {type(data).__name__} has no folder in which narrations could lie")
        folder = root.expanduser()
        path = (folder if folder.is_dir() else folder.parent) / (self.file or FILE)
        read = read_narrations(path)
        classes = _classes(path, read)
        known = {classes.get(one.text, one.text) for narrations in read.values() for one in narrations}
        return [NarratedClip.of(read.get(name, ()), classes) for name in windows.clip_names], known


def _classes(path: Path, read: Mapping[str, Sequence[Narration]]) -> dict[str, str]:
    """Return the class of each sentence that has one anywhere. Raises `DataError` if a sentence has two classes."""
    found: dict[str, str] = {}
    for name, narrations in read.items():
        for one in narrations:
            if one.meaning is not None and found.setdefault(one.text, one.meaning) != one.meaning:
                raise DataError(
                    f"{path}: {name}: the sentence '{one.text}' has the class {one.meaning}, and elsewhere "
                    f"{found[one.text]}; a sentence has one class: change its words or one of the classes"
                )
    return found


def _subjects(windows: LabelledWindows) -> list[str]:
    return sorted(set(windows.clip_subjects))


@dataclass(frozen=True)
class NarratedClip:
    """The narrations of a clip, ascending by time."""

    time_S: Floats
    """[s]"""
    texts: tuple[str, ...]
    meanings: tuple[str, ...]

    @classmethod
    def of(cls, narrations: Sequence[Narration], classes: Mapping[str, str] | None = None) -> NarratedClip:
        """Sort narrations by time; those without a class have that of their sentence in `classes`, else its words."""
        of_sentence = classes or {}
        ordered = sorted(narrations, key=lambda one: one.time)
        time_S = np.array([one.time for one in ordered], dtype=np.float64)
        meanings = tuple(one.meaning or of_sentence.get(one.text, one.text) for one in ordered)
        return cls(time_S, tuple(one.text for one in ordered), meanings)

    def without(self, meanings: Sequence[str]) -> NarratedClip:
        """Return the narrations that do not mean any of these."""
        kept = [place for place, meaning in enumerate(self.meanings) if meaning not in meanings]
        texts, meant = (tuple(of[place] for place in kept) for of in (self.texts, self.meanings))
        return NarratedClip(self.time_S[kept], texts, meant)


class NarrationTexts(WindowTexts):
    """Sentences by the time of a window in its clip."""

    def __init__(self, clips: Sequence[NarratedClip], window: float, margin: float) -> None:
        """Take the narrations of each clip; `window` is the length of a window [s], `margin` that of `Narrations`."""
        meaning: dict[str, str] = {}
        for clip in clips:
            for sentence, meant in zip(clip.texts, clip.meanings, strict=True):
                meaning.setdefault(sentence, meant)
        self.sentences, self.meanings = tuple(meaning), tuple(meaning.values())
        place = {sentence: number for number, sentence in enumerate(meaning)}
        self._time = [np.round(clip.time_S, TIME_DECIMALS) for clip in clips]
        self._place = [np.array([place[text] for text in clip.texts], dtype=np.int64) for clip in clips]
        self._window, self._margin = window, margin

    def candidates(self, clip: int, start: float, label_K: Ints) -> Ints:
        """See `WindowTexts.candidates`. Both ends of the window belong to it."""
        time_S = self._time[clip]
        first, last = (
            round(start - self._margin, TIME_DECIMALS),
            round(start + self._window + self._margin, TIME_DECIMALS),
        )
        place = slice(np.searchsorted(time_S, first), np.searchsorted(time_S, last, side="right"))
        distance_M = np.round(np.abs(time_S[place] - (start + self._window / 2)), TIME_DECIMALS)
        return np.asarray(self._place[clip][place][np.argsort(distance_M, kind="stable")])
