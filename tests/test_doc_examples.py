"""The scripts and the notebook in docs/examples/ run as the page says, as processes, as after `make demo`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, Page
from support.simulated_layout import activity_at, write_simulated, write_untrained

from revalexo_clip import load_classifier

EXAMPLES = ROOT / "docs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "first_look.ipynb"

RUN_CELLS = """
import json, sys
cells = json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
space = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), cell["id"], "exec"), space)
points = sum(len(drawn.get_offsets()) for drawn in space["axes"].collections)
print(json.dumps([space["agreement"], space["by_chance"], points, len(space["found"])]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run Python in a folder, and return what it printed."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "COLUMNS": "120"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment["PYTHONPATH"]])
    finished = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def after_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings of four subjects, and an encoder whose training subject is the first of them."""
    folder = tmp_path_factory.mktemp("after_demo")
    root = write_simulated(folder / "data" / "demo", (9, 10, 11, 12))
    write_untrained(folder / "runs" / "latest" / "export" / "imu", root, "09")
    return folder


def macro_f1(printed: str) -> dict[str, float]:
    found = re.findall(r"^(.+?) +macro F1 ([\d.]+)", printed, flags=re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.long
def test_features_of_new_subjects_tell_activities_apart(after_demo: Path) -> None:
    printed = run(EXAMPLES / "embed_to_sklearn.py", "--subjects", "09,10,11,12", cwd=after_demo)
    assert "left out, because the encoder was trained on them: Subject09" in printed
    assert set(re.findall(r"Subject\d+ 0", printed)) == {"Subject10 0", "Subject11 0", "Subject12 0"}
    scores = macro_f1(printed)
    assert set(scores) == {"encoder", "handcrafted features", "most frequent activity"}
    assert scores["encoder"] > 2 * scores["most frequent activity"] > 0


@pytest.mark.long
def test_no_subject_is_in_training_and_test(after_demo: Path, tmp_path: Path) -> None:
    """Each subject has labels of its own, which a classifier only knows if it was fitted to the subject it predicts."""
    own = write_simulated(tmp_path / "data", (10, 11), rename=lambda activity, number: f"{activity} of {number}")
    printed = run(EXAMPLES / "embed_to_sklearn.py", "--data", own, "--subjects", "10,11", cwd=after_demo)
    assert set(macro_f1(printed).values()) == {0.0}


@pytest.mark.long
def test_similar_moments_are_of_other_people_apart_in_time_and_of_the_activity(after_demo: Path) -> None:
    root = after_demo / "data" / "demo"
    printed = run(EXAMPLES / "find_similar_moments.py", "Subject10/0001", "1.0", "--top", "6", cwd=after_demo)
    asked = re.search(r"^like Subject10/0001, ([\d.]+) to ([\d.]+) s \((\w+)\):$", printed, flags=re.MULTILINE)
    assert asked
    assert float(asked[1]) + 1 == pytest.approx(1.0)
    assert asked[3] == activity_at(root, "Subject10/0001", float(asked[2]))
    rows = re.findall(r"^  (\S+) +([\d.]+) to +([\d.]+) s  similarity (\S+)  (\w*)$", printed, flags=re.MULTILINE)
    assert len(rows) == 6
    similarities = [float(similarity) for *_, similarity, _ in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert {clip[:9] for clip, *_ in rows} <= {"Subject11", "Subject12"}
    # clips of a subject are 8 s apart in one recording
    times = [(clip[:9], 8 * (int(clip[-4:]) - 1) + float(start)) for clip, start, *_ in rows]
    for place, (subject, time) in enumerate(times):
        assert all(subject != other or abs(time - earlier) >= 2 for other, earlier in times[:place])
    for clip, _, end, _, label in rows:
        assert label == activity_at(root, clip, float(end))
    assert sum(label == asked[3] for *_, label in rows) >= 3


@pytest.mark.long
def test_own_minutes_become_a_classifier_that_predicts_a_new_recording(after_demo: Path) -> None:
    assert "5 labelled recordings" in run(EXAMPLES / "simulate_own_minutes.py", "--minutes", "1", cwd=after_demo)
    encoder = after_demo / "runs" / "latest" / "export" / "imu"
    kept = encoder.resolve()  # the run moves runs/latest
    printed = run(EXAMPLES / "finetune_own_minutes.py", "--encoder", kept, "--epochs", "16", cwd=after_demo)
    (exported,) = (after_demo / "runs" / "own_minutes").glob("*/export/classifier")
    classifier = load_classifier(exported)
    assert classifier.subjects is not None
    assert set(classifier.subjects["train"]) == {"Anna", "Ben", "Carla", "Subject09"}
    assert "Eva" not in {name for names in classifier.subjects.values() for name in names}
    metrics = json.loads((exported.parents[1] / "evaluation" / "metrics.json").read_text())
    assert metrics["horizons"][0]["all"]["balanced_accuracy"] > 2 / 9  # twice the chance of nine activities
    rows = re.findall(r"^ +([\d.]+) to +([\d.]+) s  (\w+)$", printed, flags=re.MULTILINE)
    assert float(rows[0][0]) == 52.0  # the end of the first window: the clock starts at 50 s
    assert float(rows[-1][1]) == pytest.approx(110.0, abs=0.5)
    assert {label for *_, label in rows} <= set(classifier.labels)
    assert len({label for *_, label in rows}) >= 2


@pytest.mark.long
def test_the_notebook_runs_and_neighbours_share_the_activity(after_demo: Path) -> None:
    printed = run("-c", RUN_CELLS, NOTEBOOK, cwd=after_demo)
    agreement, by_chance, points, windows = json.loads(printed.splitlines()[-1])
    assert agreement > by_chance
    assert points == windows > 100


def test_the_notebook_is_one_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)


def test_every_example_is_short_and_on_the_page_with_its_command() -> None:
    page = Page(EXAMPLES / "README.md")
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}} <= set(page.links())
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 100, path.name
        assert f"python docs/examples/{path.name}" in text
        assert any(line.startswith(f"python docs/examples/{path.name}") for line in page.lines())
