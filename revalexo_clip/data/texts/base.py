"""The interface of texts: which sentences describe a window, and which of them mean the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from revalexo_clip.core.component import Component
from revalexo_clip.core.types import Sample
from revalexo_clip.data.base import LabelledWindows, Recordings
from revalexo_clip.data.windows import TEXT, Floats, Ints, sample_rng

NO_TEXT = -1
"""Index of the sentence of a window that has none."""


class TimedTexts(Protocol):
    """Sentences about a clip, ascending by time."""

    @property
    def time_S(self) -> Floats:  # noqa: N802 (a suffix of shape)
        """[S] time of each sentence in the clip [s]."""

    @property
    def texts(self) -> Sequence[str]:
        """The sentences."""


@runtime_checkable
class OffersTexts(Protocol):
    """Windows of a dataset that has narrations of its own. A `LabelledWindows` with this method offers them."""

    def texts(self, clip: int) -> TimedTexts:
        """Return the narrations of a clip."""


@runtime_checkable
class KnowsSentences(Protocol):
    """Recordings that know the narrations of all splits."""

    def sentences(self) -> Collection[str]:
        """Return the different sentences of all splits."""


class WindowTexts(ABC):
    """The sentences of the windows of a split. It can be forked and pickled."""

    sentences: tuple[str, ...]
    """V distinct sentences; windows refer to them by their index."""
    meanings: tuple[str, ...]
    """[V] what each sentence means: windows whose sentences mean the same are not negatives of each other."""
    elsewhere: Collection[str] = ()
    """What sentences of other splits mean, as far as it is known."""

    @abstractmethod
    def candidates(self, clip: int, start: float, label_K: Ints) -> Ints:
        """Return the indices of the sentences of a window, the best first; empty if it has none.

        The window starts at `start` [s] in a clip and has these labels at its horizons.
        """

    def draw(self, window: Sample, seed: int, epoch: int, index: int) -> int:
        """Draw the sentence of a training window, by the window's own generator; `NO_TEXT` if it has none."""
        found = self.candidates(int(window.clip), float(window.start), window.label_K.numpy())
        if not len(found):
            return NO_TEXT
        return int(found[sample_rng(seed, epoch, index, stream=TEXT).integers(len(found))])

    def of_evaluation(self, windows: LabelledWindows) -> Ints:
        """Return [N], the best sentence of each evaluation window, `NO_TEXT` for those that have none."""
        placed, label_NK = windows.windows, windows.labels(0)
        found_N = np.full(len(windows), NO_TEXT, dtype=np.int64)
        for index, (clip, start) in enumerate(zip(placed.clip_N.tolist(), placed.start_N.tolist(), strict=True)):
            found = self.candidates(clip, start, label_NK[index])
            if len(found):
                found_N[index] = found[0]
        return found_N


class Texts(Component, ABC):
    """Base class of what gives windows their sentences."""

    held_out: tuple[str, ...] = ()
    """What is not named in training: activities, or classes of narrations. Training and validation windows have no such
    sentences; evaluated windows have."""

    @abstractmethod
    def build(self, data: Recordings, windows: LabelledWindows, *, training: bool = False) -> WindowTexts:
        """Find the sentences of the windows of a split of `data`, in `training` without those that are held out.

        Raises `DataError`, naming the file, if they cannot be read; `ConfigError` if the data have no such texts.
        """


@dataclass(frozen=True)
class SentenceTable:
    """The sentences of several splits together, each once."""

    sentences: tuple[str, ...]
    meaning_V: Ints
    """[V] number of what each sentence means."""

    @classmethod
    def of(cls, *splits: WindowTexts) -> SentenceTable:
        """Combine the sentences of splits. Those of the first keep their indices."""
        meaning = dict(pair for split in reversed(splits) for pair in zip(split.sentences, split.meanings, strict=True))
        sentences = tuple(dict.fromkeys(sentence for split in splits for sentence in split.sentences))
        number = {name: place for place, name in enumerate(dict.fromkeys(meaning[one] for one in sentences))}
        return cls(sentences, np.array([number[meaning[one]] for one in sentences], dtype=np.int64))

    def places(self, texts: WindowTexts, text_N: Ints) -> Ints:
        """Return [N], the indices in this table of sentences that are given by their indices in a split."""
        place = {sentence: number for number, sentence in enumerate(self.sentences)}
        own_V1 = np.array([*(place[sentence] for sentence in texts.sentences), NO_TEXT], dtype=np.int64)
        return np.asarray(own_V1[text_N])  # NO_TEXT, -1, is the last
