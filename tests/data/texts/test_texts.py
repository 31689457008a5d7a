"""Sentences of windows: templates, narrations, and what is drawn in each epoch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.small_run import built_in_experiment
from support.tiny_dataset import write_json

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import LabelledWindows, RevalExo
from revalexo_clip.data.dataset import LabelledClips
from revalexo_clip.data.texts import ActivityTemplates, Narrations, WindowTexts
from revalexo_clip.data.texts.base import NO_TEXT, SentenceTable
from revalexo_clip.data.texts.narrations import NarratedClip, Narration, NarrationTexts, read_narrations
from revalexo_clip.data.texts.templates import LabelTexts

NOTHING = np.array([UNLABELLED])


def narrated(*narrations: tuple[float, str], margin: float = 0.0) -> NarrationTexts:
    """The texts of one clip, in windows of 2 s."""
    clip = NarratedClip.of([Narration(time=time, text=text) for time, text in narrations])
    return NarrationTexts([clip], 2.0, margin)


def found(texts: WindowTexts, start: float) -> list[str]:
    return [texts.sentences[place] for place in texts.candidates(0, start, NOTHING)]


def data(root: Path, **fields: object) -> RevalExo:
    """Subjects 01 and 02 of the dataset of five subjects."""
    experiment = built_in_experiment(root)
    assert isinstance(experiment.data, RevalExo)
    return experiment.data.model_copy(update=fields)


def windows(root: Path) -> LabelledWindows:
    return data(root).labelled("train", 0)


def test_the_candidates_of_a_window_are_the_narrations_inside_it_nearest_to_its_centre_first() -> None:
    texts = narrated((3.0, "late"), (0.5, "early"), (1.2, "middle"), (2.0, "end"))
    assert found(texts, 0.0) == ["middle", "early", "end"], "the ends belong to the window"
    assert found(texts, 0.6) == ["middle", "end"]
    assert found(texts, 3.5) == []


def test_a_margin_lets_narrations_lie_outside() -> None:
    assert found(narrated((0.0, "before"), (4.5, "after"), margin=0.5), 2.0) == ["after"]
    assert found(narrated((1.5, "before"), (4.5, "after"), margin=0.5), 2.0) == ["before", "after"]


def test_equal_sentences_are_one_and_classes_say_what_means_the_same() -> None:
    clip = NarratedClip.of(
        [
            Narration.model_validate({"time": 0, "text": "she walks", "class": "walking"}),
            Narration.model_validate({"time": 1, "text": "walking along", "class": "walking"}),
            Narration.model_validate({"time": 2, "text": "she sits"}),
            Narration.model_validate({"time": 3, "text": "she walks", "class": "walking"}),
        ]
    )
    texts = NarrationTexts([clip], 2.0, 0.0)
    assert texts.sentences == ("she walks", "walking along", "she sits")
    assert texts.meanings == ("walking", "walking", "she sits")


def test_templates_name_the_activity_and_mean_it() -> None:
    templates = ActivityTemplates(
        templates=("they are {activity}", "{activity}"), names={"stairs_up": "climbing stairs"}
    )
    assert templates.sentences_of("stairs_up") == ("they are climbing stairs", "climbing stairs")
    assert templates.sentences_of("ramp_down") == ("they are ramp down", "ramp down")
    texts = LabelTexts([templates.sentences_of(name) for name in ("stairs_up", "ramp_down")], horizon=1)
    chosen = texts.candidates(0, 0.0, np.array([UNLABELLED, 1]))
    assert [texts.sentences[place] for place in chosen] == ["they are ramp down", "ramp down"]
    assert len({texts.meanings[place] for place in chosen}) == 1
    assert len(texts.candidates(0, 0.0, np.array([1, UNLABELLED]))) == 0


def test_a_sentence_is_drawn_anew_in_each_epoch_by_the_generator_of_its_window(distinct: Path) -> None:
    dataset = windows(distinct)
    texts = ActivityTemplates().build(data(distinct), dataset)
    sample = dataset[0, 0]
    drawn = [texts.draw(sample, 7, epoch, 0) for epoch in range(60)]
    assert drawn == [texts.draw(sample, 7, epoch, 0) for epoch in range(60)]
    label = int(sample.label_K[0])
    expected = ActivityTemplates().sentences_of(dataset.activities[label])
    counts = Counter(texts.sentences[place] for place in drawn)
    assert set(counts) == set(expected)
    assert min(counts.values()) > 8
    nowhere = sample._replace(label_K=sample.label_K * 0 + UNLABELLED)
    assert texts.draw(nowhere, 7, 0, 0) == NO_TEXT


def test_evaluation_windows_have_their_best_sentence(distinct: Path) -> None:
    dataset = data(distinct).labelled("val", 0)
    texts = ActivityTemplates().build(data(distinct), dataset)
    own = texts.of_evaluation(dataset)
    for place, label in zip(own.tolist(), dataset.labels(0)[:, 0].tolist(), strict=True):
        expected = NO_TEXT if label == UNLABELLED else f"a person is {dataset.activities[label]}"
        assert (NO_TEXT if place == NO_TEXT else texts.sentences[place]) == expected


def test_a_table_of_two_splits_keeps_the_indices_of_the_first() -> None:
    one, other = narrated((0, "a"), (1, "b")), narrated((0, "c"), (1, "b"))
    table = SentenceTable.of(one, other)
    assert table.sentences == ("a", "b", "c")
    assert table.meaning_V.tolist() == [0, 1, 2]
    assert table.places(other, np.array([0, 1, NO_TEXT])).tolist() == [2, 1, NO_TEXT]
    assert table.places(one, np.array([0, 1, NO_TEXT])).tolist() == [0, 1, NO_TEXT]


def test_narrations_are_read_from_a_file_in_the_folder_of_the_dataset(distinct: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(distinct)
    named = {"Subject01/0000": [{"time": 1.0, "text": "walks"}], "Subject77/0000": []}
    file = tmp_path / "own.json"
    file.write_text(json.dumps(named))
    texts = Narrations(file=str(file)).build(data(distinct), windows(distinct))
    assert texts.sentences == ("walks",)
    assert texts.candidates(0, 0.0, NOTHING).tolist() == [0]
    assert texts.candidates(1, 0.0, NOTHING).tolist() == []


class Offering(LabelledClips):
    """Windows of a dataset with narrations of its own."""

    def texts(self, clip: int) -> NarratedClip:
        return NarratedClip.of([Narration(time=1.0, text=f"clip {clip}")])


def test_a_dataset_may_offer_narrations_itself(distinct: Path) -> None:
    dataset = windows(distinct)
    dataset.__class__ = Offering
    texts = Narrations().build(data(distinct), dataset)
    assert texts.sentences == ("clip 0", "clip 1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a file of narrations"),
        ('{"a": [{"time": "x", "text": "b"}]}', "a.0.time"),
        ('{"a": [{"time": 1}]}', "a.0.text"),
        ('{"a": [{"time": 1, "text": "b", "more": 2}]}', "a.0.more"),
    ],
)
def test_a_wrong_file_is_named_with_its_entry(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "narrations.json").write_text(content)
    with pytest.raises(DataError, match=r"narrations\.json") as error:
        read_narrations(tmp_path / "narrations.json")
    assert words in str(error.value)


def test_missing_narrations_are_an_error_that_says_what_to_do(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file of narrations; set texts\.file"):
        Narrations(file="nothing.json").build(data(distinct), windows(distinct))
    write_json(tmp_path / "empty.json", {})
    with pytest.raises(DataError, match="none of the 2 clips of Subject01, Subject02 has a narration"):
        Narrations(file=str(tmp_path / "empty.json")).build(data(distinct), windows(distinct))


def test_templates_need_a_place_known_activities_and_the_label_at_the_end_of_the_window(distinct: Path) -> None:
    with pytest.raises(ValidationError, match=r"has no \{activity\}"):
        ActivityTemplates(templates=("walking",))
    with pytest.raises(ConfigError, match=r"no activity walkin; did you mean 'walking'"):
        ActivityTemplates(names={"walkin": "x"}).build(data(distinct), windows(distinct))
    later = data(distinct, horizons=(0.5,))
    with pytest.raises(ConfigError, match=r"add 0 to data\.horizons"):
        ActivityTemplates().build(later, later.labelled("train", 0))


def test_what_is_held_out_is_not_named_in_training(distinct: Path, tmp_path: Path) -> None:
    activities = ActivityTemplates(held_out=("walking",))
    training, evaluated = (
        activities.build(data(distinct), windows(distinct), training=training) for training in (True, False)
    )
    assert not any("walking" in sentence for sentence in training.sentences)
    assert any("walking" in sentence for sentence in evaluated.sentences)
    label = windows(distinct).activities.index("walking")
    assert len(training.candidates(0, 0.0, np.array([label]))) == 0
    assert len(evaluated.candidates(0, 0.0, np.array([label]))) == 3
    with pytest.raises(ConfigError, match=r"texts\.held_out: no activity flying"):
        ActivityTemplates(held_out=("flying",)).build(data(distinct), windows(distinct))
    named = {"Subject01/0000": [{"time": 1, "text": "goes", "class": "a"}, {"time": 1.5, "text": "stops"}]}
    (tmp_path / "own.json").write_text(json.dumps(named))
    narrations = Narrations(file=str(tmp_path / "own.json"), held_out=("a",))
    assert narrations.build(data(distinct), windows(distinct), training=True).sentences == ("stops",)
    assert narrations.build(data(distinct), windows(distinct)).sentences == ("goes", "stops")


def narrations_file(path: Path, **clips: list[tuple[float, str, str | None]]) -> Path:
    named = {
        name.replace("_", "/"): [
            {"time": time, "text": text} | ({} if meaning is None else {"class": meaning})
            for time, text, meaning in told
        ]
        for name, told in clips.items()
    }
    path.write_text(json.dumps(named))
    return path


def test_a_class_that_no_narration_has_cannot_be_held_out(distinct: Path, tmp_path: Path) -> None:
    file = narrations_file(
        tmp_path / "own.json",
        Subject01_0000=[(1, "goes", "walking"), (1.5, "stops", None)],
        Subject05_0000=[(1, "sits", "rest")],
    )
    with pytest.raises(ConfigError, match=r"texts\.held_out: no narration means walkin; did you mean 'walking'"):
        Narrations(file=str(file), held_out=("walkin",)).build(data(distinct), windows(distinct), training=True)
    other_split = Narrations(file=str(file), held_out=("rest",)).build(data(distinct), windows(distinct), training=True)
    assert other_split.sentences == ("goes", "stops")


def test_a_sentence_is_held_out_with_its_class_also_where_it_has_none(distinct: Path, tmp_path: Path) -> None:
    file = narrations_file(
        tmp_path / "own.json",
        Subject01_0000=[(1, "goes", None), (1.5, "stops", None)],
        Subject05_0000=[(1, "goes", "walking"), (2, "walks", "walking")],
    )
    held = Narrations(file=str(file), held_out=("walking",))
    assert held.build(data(distinct), windows(distinct), training=True).sentences == ("stops",)
    assert held.build(data(distinct), windows(distinct)).meanings == ("walking", "stops")


def test_a_sentence_of_two_classes_is_refused(distinct: Path, tmp_path: Path) -> None:
    file = narrations_file(
        tmp_path / "own.json", Subject01_0000=[(1, "goes", "walking")], Subject05_0000=[(1, "goes", "running")]
    )
    with pytest.raises(
        DataError, match=r"own\.json: Subject05/0000: the sentence 'goes' has the class running, .*walking"
    ):
        Narrations(file=str(file)).build(data(distinct), windows(distinct))
