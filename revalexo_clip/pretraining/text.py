"""Text in pretraining: the sentences of both splits, and the branch of the module that embeds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import counted
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.revalexo.pack.find import cache_folder
from revalexo_clip.data.texts.base import NO_TEXT, SentenceTable, WindowTexts
from revalexo_clip.data.windows import Ints
from revalexo_clip.losses.text_contrast import MOST_MEANINGS, with_meaning
from revalexo_clip.models.text.tower import TextTower


@dataclass(frozen=True)
class SplitTexts:
    """The sentences of the training and validation windows."""

    train: WindowTexts
    table: SentenceTable
    """All sentences; those of the training windows keep their indices."""
    validation_N: Ints
    """[N] index of the sentence of each validation window, `NO_TEXT` for those that have none."""


def read_texts(experiment: PretrainExperiment, train: LabelledWindows, val: LabelledWindows) -> SplitTexts | None:
    """Find the sentences of both splits; None if the experiment has no text.

    Raises `DataError` if they cannot be read or no validation window has one, `ConfigError` if there are too many.
    """
    if experiment.texts is None:
        return None
    of_train, of_val = (experiment.texts.build(experiment.data, windows, training=True) for windows in (train, val))
    table = SentenceTable.of(of_train, of_val)
    if len(table.sentences) >= MOST_MEANINGS:
        raise ConfigError(f"texts: {len(table.sentences)} different sentences; at most {MOST_MEANINGS} are possible")
    own_N = of_val.of_evaluation(val)
    if (own_N == NO_TEXT).all():
        raise DataError("texts: no validation window has a sentence, so that no checkpoint can be chosen by them")
    return SplitTexts(of_train, table, table.places(of_val, own_N))


def build_text_branch(experiment: PretrainExperiment, texts: SplitTexts) -> TextBranch:
    """Build the text tower and give it the sentences. Raises what `PretrainExperiment.build_text` raises.

    The features that a frozen text encoder gives for many sentences are kept in the dataset's cache folder.
    """
    tower = experiment.build_text()
    assert tower is not None
    root = getattr(experiment.data, "root", None)
    tower.set_sentences(
        texts.table.sentences, cache_folder(root.expanduser()) / "text" if isinstance(root, Path) else None
    )
    return TextBranch(tower, texts)


class TextBranch(nn.Module):
    """Embeds the sentences of windows, which are given by their indices."""

    meaning_V1: Tensor
    """[V + 1] number of the meaning of each sentence; the last is -1, that of `NO_TEXT`."""
    validation_N: Tensor
    """[N] index of the sentence of each validation window."""

    def __init__(self, tower: TextTower, texts: SplitTexts) -> None:
        super().__init__()
        self.tower = tower
        meaning_V1 = torch.tensor([*texts.table.meaning_V.tolist(), -1])
        self.register_buffer("meaning_V1", meaning_V1, persistent=False)
        self.register_buffer("validation_N", torch.from_numpy(texts.validation_N), persistent=False)
        number = counted(len(texts.table.sentences), "sentence")
        share = (texts.validation_N != NO_TEXT).mean()
        self.described = f"{tower.name}, {number}; {share:.0%} of validation windows have one"

    def forward(self, text_B: Tensor) -> Tensor:
        """Return vectors of kind `text`, [B, D + 1], see `with_meaning`."""
        return with_meaning(self.tower(text_B.clamp(min=0)), self.meaning_V1[text_B])

    def of_validation(self, window_B: Tensor) -> Tensor:
        """Return the vectors of validation windows, which are given by their indices in the dataset."""
        vectors: Tensor = self(self.validation_N[window_B])
        return vectors
