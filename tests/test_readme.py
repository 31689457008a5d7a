"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from revalexo_clip.cli import app as cli
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import load_experiment, load_experiment_of
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.partition(" #")[0]
    for language, text in BLOCKS
    if not language
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("rxclip ")
]


def test_the_experiment_is_one(tmp_path: Path) -> None:
    (source,) = (text for text in PYTHON if "PretrainExperiment" in text)
    path = tmp_path / "my_idea.py"
    path.write_text(source)
    experiment = load_experiment(str(path), ["imu.kernel=15", "optim.lr=1e-3"])
    assert experiment.name == "my_idea"
    assert experiment.imu.model_dump() == {"type": "OneConvolution", "frozen": 0, "kernel": 15}
    del Component.registry["OneConvolution"]  # other tests list what is there


def test_the_finetuning_is_one_and_what_it_can_be_set_to(tmp_path: Path) -> None:
    (source,) = (text for text in PYTHON if "FinetuneExperiment)" in text)
    path = tmp_path / "my_recogniser.py"
    path.write_text(source)
    (settings,) = (text for _, text in BLOCKS if "--set from_scratch=true" in text)
    for line in settings.strip().splitlines():
        words = shlex.split(line, comments=True)
        assert load_experiment_of(FinetuneExperiment, str(path), words[1::2]), line


@pytest.mark.parametrize("text", PYTHON, ids=lambda text: str(text.splitlines()[0][:30]))
def test_python_compiles(text: str) -> None:
    compile(text, "README.md", "exec")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line: str) -> None:
    _, name, *arguments = cli.spelled_out(shlex.split(line))
    group = typer.main.get_command(cli.app)
    assert isinstance(group, TyperGroup)
    command = group.commands[name]
    parameters = command.make_context(name, arguments).params
    target = parameters.get("file")
    if isinstance(target, str) and target.startswith("experiments/"):
        overrides = parameters["overrides"] or []
        kind = FinetuneExperiment if name == "finetune" else PretrainExperiment
        assert load_experiment_of(kind, str(Path(__file__).parents[1] / target), overrides)


def test_targets_of_make_are_there() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
