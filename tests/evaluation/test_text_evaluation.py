"""Zero-shot evaluation and search of a run with text, against plain computations with the rebuilt model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from support.documented import undocumented
from support.html_page import Page
from support.imu_alone import imu_alone, write_recordings
from support.small_run import built_in_experiment, train

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data.texts import ActivityTemplates
from revalexo_clip.data.texts.narrations import NarratedClip, Narration, NarrationTexts
from revalexo_clip.evaluation.protocol import Evaluation, evaluate
from revalexo_clip.evaluation.search import Moment, search
from revalexo_clip.evaluation.text import load_text
from revalexo_clip.evaluation.zero_shot import (
    ACTIVITIES,
    NARRATIONS,
    WindowSentences,
    _true_classes,
    _why_not_classes,
    read_classes,
)
from revalexo_clip.losses import InfoNCE, Sum, Term, TextContrast
from revalexo_clip.reports.terminal.evaluation import evaluation_report
from revalexo_clip.reports.values import child
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

LOSS = Sum(terms={"video": Term(InfoNCE()), "text": Term(TextContrast()), "seen": Term(TextContrast(of="video"))})
CLASSES = {"walking": ["a person walks", "walking"], "standing": ["someone stands"]}


@pytest.fixture(scope="module")
def run(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"text": {"type": "WordText"}, "texts": {"type": "ActivityTemplates"}}
    folder = tmp_path_factory.mktemp("text")
    return train(built_in_experiment(distinct, loss=LOSS, optim={"type": "AdamW", "lr": 0.01}, **words), folder)


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    found = evaluate(run, zero_shot=ACTIVITIES, probe=False)
    assert isinstance(found, Evaluation)
    return found


@pytest.mark.long
def test_windows_are_classified_by_the_sentences_of_activities(run: Path, evaluation: Evaluation) -> None:
    found = child(evaluation.metrics, "zero_shot")
    saved = load_checkpoint(run / "checkpoints/best.ckpt")
    model, tower = saved.build_model(), load_text(saved)
    dataset = evaluation.findings.dataset
    templates = ActivityTemplates()
    class_AD = torch.stack([tower.embed(templates.sentences_of(name)).mean(0) for name in dataset.activities])
    class_AD = torch.nn.functional.normalize(class_AD, dim=1)
    label_N = evaluation.findings.windows.label_NK[:, 0].numpy()
    right: dict[str, list[bool]] = {"imu": [], "video": []}
    for index in range(len(dataset)):
        sample = dataset[0, index]
        with torch.no_grad():
            vectors = {
                "imu": model.encode_imu(sample.imu_LC[None]).embedding_BD,
                "video": model.encode_video(sample.video_THWC[None]).embedding_BD,
            }
        if label_N[index] >= 0:
            for name, vector_1D in vectors.items():
                right[name].append(int((vector_1D @ class_AD.T).argmax()) == int(label_N[index]))
    assert found["truth"] == ACTIVITIES
    assert found["held_out"] == []
    assert found["classes"] == {name: list(templates.sentences_of(name)) for name in dataset.activities}
    for name, of_modality in right.items():
        assert child(found, name)["windows"] == len(of_modality) > 0
        assert child(found, name)["accuracy"] == pytest.approx(np.mean(of_modality))
    assert child(found, "chance")["balanced_accuracy"] == pytest.approx(1 / len(dataset.activities))
    ways = child(found, "retrieval")
    assert set(ways) == {"text_to_imu", "imu_to_text", "text_to_video", "video_to_text"}
    assert all(child(ways, way)["queries"] == len(right["imu"]) for way in ways)


def test_the_results_are_in_the_file_the_terminal_and_the_page(evaluation: Evaluation) -> None:
    saved = json.loads(evaluation.path.read_text(encoding="utf-8"))
    assert saved["zero_shot"] == evaluation.metrics["zero_shot"]
    own = set(evaluation.findings.dataset.activities)
    assert undocumented(saved["zero_shot"], own) == []
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        for part in evaluation_report(evaluation.metrics):
            console.print(part)
    page = Page(evaluation.report.read_text(encoding="utf-8")).text
    for shown in (capture.get(), page):
        assert "Zero-shot: " in shown
        assert "balanced accuracy" in shown
        assert "text → video" in shown
        assert "no class was held out" in " ".join(shown.split())
    assert "a person is walking" in page


@pytest.mark.long
def test_a_file_names_the_classes(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    file.write_text(json.dumps(CLASSES))
    found = evaluate(run, zero_shot=file, probe=False, out=tmp_path / "results")
    assert isinstance(found, Evaluation)
    assert list(child(found.metrics, "zero_shot", "classes")) == ["walking", "standing"]
    label_N = found.findings.windows.label_NK[:, 0]
    assert child(found.metrics, "zero_shot", "imu")["windows"] == int((label_N >= 0).sum())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not a file of classes"),
        ('{"a": ["b"]}', "at least two classes"),
        ('{"a": ["b"], "c": []}', "wrong at c"),
        ('{"a": ["b"], "c": "d"}', "wrong at c"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_wrong_file_of_classes_is_refused(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(DataError, match=words):
        read_classes(tmp_path / "classes.json")
    with pytest.raises(ConfigError, match="no such file"):
        read_classes(tmp_path / "nothing.json")


@pytest.mark.long
def test_classes_that_the_data_do_not_have_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"walkin": ["a"], "standing": ["b"]}')
    with pytest.raises(ConfigError, match="class walkin is neither an activity nor the class of a narration"):
        evaluate(run, zero_shot=tmp_path / "classes.json", probe=False, out=tmp_path)


def test_a_class_may_be_narrated_in_other_splits_only(evaluation: Evaluation) -> None:
    clip = NarratedClip.of([Narration(time=1.0, text="slowly", **{"class": "slow"})])
    texts = NarrationTexts([clip], 2.0, 0.0)
    texts.elsewhere = ("slow", "fast")
    windows = evaluation.findings.windows
    own_N = np.arange(len(windows.label_NK)) % 2 - 1
    sentences = WindowSentences(texts, own_N)
    truth, true_N = _true_classes({"fast": ("f",), "slow": ("s",)}, windows, sentences, None)
    assert truth == NARRATIONS
    np.testing.assert_array_equal(true_N, np.where(own_N == 0, 1, -1))
    with pytest.raises(ConfigError, match="no evaluated window has a narration of a class: fast"):
        _true_classes({"fast": ("f",)}, windows, sentences, None)
    with pytest.raises(ConfigError, match="class fasst is neither an activity nor"):
        _true_classes({"fasst": ("f",), "slow": ("s",)}, windows, sentences, None)


def test_classes_of_two_kinds_and_missing_narrations_are_named_as_they_are() -> None:
    classes = {"walking": ("a",), "slow": ("b",)}
    mixed = _why_not_classes(classes, ["walking"], ["walking", "standing"], ["slow", "fast"], None)
    assert "mix activities (walking) and classes of narrations (slow)" in mixed
    nothing = _why_not_classes(classes, ["walking", "slow"], ["walking"], (), "data/narrations.json: no such file")
    assert "class slow is neither" in nothing
    assert nothing.endswith("There are no narrations to take classes from: data/narrations.json: no such file")


@pytest.mark.long
def test_the_best_moments_are_those_of_a_plain_search_and_do_not_overlap(run: Path, tmp_path: Path) -> None:
    result = search("someone walks", ["Subject05", "09/0000"], ckpt=run, top=3, out=tmp_path / "found.png")
    saved = load_checkpoint(run / "checkpoints/best.ckpt")
    model, tower = saved.build_model(), load_text(saved)
    dataset = saved.description.experiment.data.labelled("test", 0)
    expected = []
    for index in range(len(dataset)):
        sample = dataset[0, index]
        with torch.no_grad():
            score = float(model.encode_imu(sample.imu_LC[None]).embedding_BD[0] @ tower.embed(["someone walks"])[0])
        expected.append((score, dataset.clip_names[int(sample.clip)], float(sample.start)))
    expected.sort(reverse=True)
    kept: list[tuple[float, str, float]] = []
    for score, clip, start in expected:
        if all(clip != other or abs(start - at) >= 2 for _, other, at in kept):
            kept.append((score, clip, start))
    assert [(moment.recording, moment.start) for moment in result.moments] == [one[1:] for one in kept[:3]]
    assert [moment.score for moment in result.moments] == pytest.approx([one[0] for one in kept[:3]], abs=1e-5)
    assert result.moments[0].end == result.moments[0].start + 2
    assert (tmp_path / "found.png").read_bytes()[:4] == b"\x89PNG"
    assert result.to_json()["strip"] == str(tmp_path / "found.png")


@pytest.mark.long
def test_one_clip_alone_can_be_searched_by_its_video(run: Path, tmp_path: Path) -> None:
    result = search("walking", ["Subject05/0000"], ckpt=run, modality="video", top=9, out=tmp_path / "a.png")
    assert {moment.recording for moment in result.moments} == {"Subject05/0000"}
    assert all(isinstance(moment, Moment) and -1 <= moment.score <= 1 for moment in result.moments)
    assert len(result.moments) < 9, "no more fit without overlap"


@pytest.mark.long
def test_what_cannot_be_searched_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no clip Subject05/0001; did you mean 'Subject05/0000'"):
        search("walking", ["Subject05/0001"], ckpt=run)
    with pytest.raises(ConfigError, match="the sentence to search for is empty"):
        search(" ", ["Subject05"], ckpt=run)


@pytest.mark.long
def test_a_run_without_text_cannot_be_asked(tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path / "recordings.npz")
    alone = train(imu_alone(recordings, "trainer.max_epochs=1"), tmp_path)
    with pytest.raises(ConfigError, match="it was trained without text"):
        search("walking", ["5"], ckpt=alone)
    with pytest.raises(ConfigError, match="it was trained without text"):
        evaluate(alone, zero_shot=ACTIVITIES, probe=False, out=tmp_path / "results")
