"""Zero-shot evaluation: classify windows by sentences, and search for windows and for sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject, nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.texts import ActivityTemplates, WindowTexts
from revalexo_clip.data.texts.base import NO_TEXT
from revalexo_clip.evaluation.text import load_text, window_vectors
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.zero_shot import chance_of, class_vectors, classify, measure_search, measure_zero_shot
from revalexo_clip.models.text.tower import TextTower
from revalexo_clip.runs.checkpoint import Checkpoint

ACTIVITIES = "activities"
"""What `--zero-shot` without a file classifies: the activities of the data, by templates."""
NARRATIONS = "narrations"
"""Where the true class of a window comes from if classes are not activities, in `metrics.json`."""

Classes = Mapping[str, tuple[str, ...]]
"""Sentences of each class, by its name."""


@dataclass(frozen=True)
class WindowSentences:
    """The sentences of evaluation windows."""

    texts: WindowTexts
    own_N: Ints
    """[N] index of the sentence of each window, `NO_TEXT` for those that have none."""


def read_classes(path: Path) -> Classes:
    """Read a file of classes, `{"walking": ["a person walks", ...]}`. Raises `ConfigError` or `DataError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"--zero-shot: {path}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from error
    form = f'{path}: not a file of classes, {{"class": ["sentence", ...]}}'
    if not isinstance(content, dict) or len(content) < 2:
        raise DataError(f"{form} with at least two classes")
    for name, sentences in content.items():
        if not isinstance(sentences, list) or not sentences or not all(isinstance(one, str) for one in sentences):
            raise DataError(f"{form}: wrong at {name}")
    return {name: tuple(sentences) for name, sentences in content.items()}


def classes_of(chosen: str | Path, experiment: PretrainExperiment, dataset: LabelledWindows) -> Classes:
    """Return the classes: those of a file, or the activities of the data by the templates of the experiment."""
    if str(chosen) != ACTIVITIES:
        return read_classes(Path(chosen))
    templates = experiment.texts if isinstance(experiment.texts, ActivityTemplates) else ActivityTemplates()
    templates.check(dataset.activities)
    if len(dataset.activities) < 2:
        raise ConfigError("--zero-shot: the data have fewer than two activities; pass a file of classes")
    return {name: templates.sentences_of(name) for name in dataset.activities}


def measure_text(
    checkpoint: Checkpoint,
    windows: EvaluatedWindows,
    dataset: LabelledWindows,
    experiment: PretrainExperiment,
    *,
    bootstrap: TimeBootstrap,
    chosen: str | Path,
) -> JsonObject:
    """Return the object `zero_shot` of `metrics.json`. `chosen` is a file of classes, or `ACTIVITIES`.

    Raises `ConfigError` if the checkpoint has no text, or if classes are neither activities nor narrated.
    """
    tower = load_text(checkpoint)
    classes = classes_of(chosen, experiment, dataset)
    sentences, reason = _sentences(experiment, dataset)
    truth, true_N = _true_classes(classes, windows, sentences, reason)
    trained = checkpoint.description.experiment.texts
    vectors = window_vectors(checkpoint, windows)
    class_AD = class_vectors({name: tower.embed(texts) for name, texts in classes.items()})
    found: JsonObject = {
        "classes": {name: list(texts) for name, texts in classes.items()},
        "truth": truth,
        "held_out": [name for name in classes if trained is not None and name in trained.held_out],
        "chance": chance_of(true_N, len(classes)),
    }
    for modality in ("imu", "video"):
        x_ND = vectors.get(modality)
        found[modality] = (
            None if x_ND is None else measure_zero_shot(classify(x_ND, class_AD), true_N, len(classes), bootstrap)
        )
    found["retrieval"] = None if sentences is None else _retrieval(tower, vectors, sentences, bootstrap)
    return found | {"retrieval_reason": reason}


def _sentences(experiment: PretrainExperiment, dataset: LabelledWindows) -> tuple[WindowSentences | None, str | None]:
    """Return the sentences of the evaluated windows; if there are none, None and why."""
    assert experiment.texts is not None
    try:
        texts = experiment.texts.build(experiment.data, dataset)
    except DataError as error:  # the data may have labels and no narrations
        return None, str(error)
    own_N = texts.of_evaluation(dataset)
    if (own_N == NO_TEXT).all():
        return None, "no evaluated window has a sentence"
    return WindowSentences(texts, own_N), None


def _true_classes(
    classes: Classes, windows: EvaluatedWindows, sentences: WindowSentences | None, reason: str | None
) -> tuple[str, Ints]:
    """Return where true classes come from, and the class of each window, [N], -1 if it has none of them.

    If all classes are activities, they come from the label at the end of the window; else from its narration. `reason`
    says why there are no `sentences`.
    """
    number = {name: place for place, name in enumerate(classes)}
    if set(classes) <= set(windows.activities):
        if 0.0 not in windows.horizons:
            raise ConfigError("--zero-shot: needs the label at the end of the window; add 0 to data.horizons")
        of_label = np.array([*(number.get(name, -1) for name in windows.activities), -1])
        return ACTIVITIES, of_label[windows.label_NK[:, windows.horizons.index(0.0)].numpy()]
    meanings = () if sentences is None else sentences.texts.meanings
    known = {*meanings, *(() if sentences is None else sentences.texts.elsewhere)}
    unnarrated = [name for name in classes if name not in known]
    if unnarrated:
        raise ConfigError(_why_not_classes(classes, unnarrated, windows.activities, sorted(known), reason))
    assert sentences is not None
    of_sentence = np.array([*(number.get(meaning, -1) for meaning in meanings), -1])
    true_N = of_sentence[sentences.own_N]
    if (true_N < 0).all():
        raise ConfigError(f"--zero-shot: no evaluated window has a narration of a class: {', '.join(classes)}")
    return NARRATIONS, true_N


def _why_not_classes(
    classes: Classes, unnarrated: Sequence[str], activities: Sequence[str], meanings: Sequence[str], reason: str | None
) -> str:
    """Say what is wrong with classes some of which are not those of narrations; not all are activities."""
    because = "" if reason is None else f"\nThere are no narrations to take classes from: {reason}"
    for name in unnarrated:
        if name not in activities:
            known = [*activities, *dict.fromkeys(meanings)]
            close = nearest(name, known)
            return f"--zero-shot: class {name} is neither an activity nor the class of a narration{close}{because}"
    narrated = [name for name in classes if name not in unnarrated]
    return (
        f"--zero-shot: the classes mix activities ({', '.join(unnarrated)}) and classes of narrations "
        f"({', '.join(narrated)}); name classes of one kind, because a window has one true class"
    )


def _retrieval(
    tower: TextTower, vectors: Mapping[str, Tensor], sentences: WindowSentences, bootstrap: TimeBootstrap
) -> JsonObject:
    """Measure the search for windows by their sentence, and for their sentence by windows."""
    rows = np.flatnonzero(sentences.own_N != NO_TEXT)
    used, own_M = np.unique(sentences.own_N[rows], return_inverse=True)
    meanings = [sentences.texts.meanings[place] for place in used.tolist()]
    _, meaning_V = np.unique(meanings, return_inverse=True)
    text_VD = tower.embed([sentences.texts.sentences[place] for place in used.tolist()])
    meaning_M, unit_M = meaning_V[own_M], bootstrap.unit_N[rows]
    found: JsonObject = {}
    for modality, x_ND in vectors.items():
        x_MD, text_MD = x_ND[rows], text_VD[own_M]
        found[f"text_to_{modality}"] = measure_search(
            text_MD, x_MD, meaning_M, meaning_M, unit_M=unit_M, bootstrap=bootstrap
        )
        found[f"{modality}_to_text"] = measure_search(
            x_MD, text_VD, meaning_M, meaning_V, unit_M=unit_M, bootstrap=bootstrap
        )
    return found
