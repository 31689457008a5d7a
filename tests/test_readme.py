"""The examples in the README and in docs/ work as shown."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from support.pages import ROOT, Page, pages
from typer.core import TyperGroup

import revalexo_clip
from revalexo_clip.cli import app as cli
from revalexo_clip.config.base import Experiment, snake_case
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import load_experiment_of
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component
from revalexo_clip.core.version import __version__

PAGES = pages()
CURRENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages that describe what there is now."""
PYTHON = [(page, text) for page in PAGES for text in page.blocks("python")]
COMMANDS = [
    (page, line.removeprefix("srun "))
    for page in PAGES
    for line in page.lines()
    if line.removeprefix("srun ").startswith("rxclip ")
]
KINDS: dict[str, type[Experiment]] = {"pretrain": PretrainExperiment, "finetune": FinetuneExperiment}
OTHER_OPTIONS = {"--help", "--signal"}
"""Options that are not declared as parameters, or belong to another program (`sbatch`)."""
FOLDERS = ("benchmarks/", "docs/", "experiments/", "revalexo_clip/", "tests/")


def page_and_text(value: object) -> str:
    return value.name if isinstance(value, Page) else str(value).strip().splitlines()[0][:60]


@cache
def group() -> TyperGroup:
    found = typer.main.get_command(cli.app)
    assert isinstance(found, TyperGroup)
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The experiment files that the pages show, by `page/file`, written to disk."""
    before, folder, files = set(Component.registry), tmp_path_factory.mktemp("shown"), {}
    for page, source in PYTHON:
        for name in re.findall(r"^class (\w+)\((?:Pretrain|Finetune)Experiment\)", source, flags=re.MULTILINE):
            path = folder / page.path.stem / f"{snake_case(name)}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source, encoding="utf-8")
            files[f"{page.name}/{path.name}"] = path
    yield files
    for name in set(Component.registry) - before:  # other tests list what is there
        del Component.registry[name]


def file_of(shown: dict[str, Path], page: Page, target: str) -> Path | None:
    """The file that a command names: one of the project, of the command's own page, or of any page."""
    if target.startswith("experiments/"):
        return ROOT / target
    any_page = [path for name, path in shown.items() if name.endswith(f"/{target}")]
    return shown.get(f"{page.name}/{target}", next(iter(any_page), None))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_experiments_that_are_shown_are_experiments(shown: dict[str, Path]) -> None:
    assert set(shown) == {
        "README.md/my_experiment.py",
        "docs/experiments.md/my_experiment.py",
        "docs/custom-components.md/my_idea.py",
        "docs/finetuning.md/my_classifier.py",
        "docs/tutorials/first-classifier.md/my_minutes.py",
        "docs/tutorials/own-encoder-and-dataset.md/my_folders.py",
        "docs/tutorials/own-parts.md/my_parts.py",
        "docs/own-csv.md/my_sensors.py",
    }
    for path in shown.values():
        assert load_experiment_of(Experiment, str(path)).name == path.stem


def test_a_component_that_is_shown_can_be_set(shown: dict[str, Path]) -> None:
    path = shown["docs/custom-components.md/my_idea.py"]
    experiment = load_experiment_of(PretrainExperiment, str(path), ["imu.kernel=15", "optim.lr=1e-3"])
    assert experiment.imu.model_dump() == {"type": "OneConvolution", "frozen": 0, "kernel": 15}


@pytest.mark.parametrize("name", ["finetuning", "training"])
def test_lines_of_settings_can_be_set(name: str, shown: dict[str, Path]) -> None:
    page = Page(ROOT / "docs" / f"{name}.md")
    lines = [line for line in page.lines() if line.startswith("--set ")]
    assert len(lines) >= 8
    kind: type[Experiment] = PretrainExperiment
    target = ROOT / "experiments" / "mvit_base.py"
    if name == "finetuning":
        kind, target = FinetuneExperiment, shown["docs/finetuning.md/my_classifier.py"]
    for line in lines:
        assert load_experiment_of(kind, str(target), shlex.split(line)[1::2]), line


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=page_and_text)
def test_python_compiles_and_imports_what_there_is(page: Page, text: str) -> None:
    for node in ast.walk(ast.parse(text, page.name)):
        if isinstance(node, ast.ImportFrom) and node.module == "revalexo_clip":
            for alias in node.names:
                assert alias.name in revalexo_clip.__all__


def test_names_of_custom_components_are_public() -> None:
    spans = Page(ROOT / "docs" / "custom-components.md").spans()
    names = {span for span in spans if re.fullmatch(r"[A-Z][A-Za-z]+", span)}
    assert names
    assert names <= set(revalexo_clip.__all__)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=page_and_text)
def test_a_command_is_one(page: Page, line: str, shown: dict[str, Path]) -> None:
    _, name, *arguments = cli.spelled_out(shlex.split(line))
    if name.startswith("-"):
        assert name in {option for parameter in group().params for option in parameter.opts}
        return
    parameters = group().commands[name].make_context(name, arguments).params
    overrides = parameters.get("overrides") or []
    for key, kind in (("file", KINDS.get(name, Experiment)), ("pretrain", PretrainExperiment)):
        target = parameters.get(key)
        if not isinstance(target, str):
            continue
        path = file_of(shown, page, target)
        assert path is not None, f"{page.name} shows no {target}"
        found = load_experiment_of(
            kind, str(path), overrides if key == "file" and not parameters.get("pretrain") else []
        )
        assert isinstance(found, kind)


@pytest.mark.parametrize("page", CURRENT, ids=page_and_text)
def test_commands_and_options_in_the_prose_exist(page: Page) -> None:
    parameters = [one for command in group().commands.values() for one in command.params] + group().params
    options = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
    for span in page.spans():
        if command := re.match(r"rxclip ([a-z][a-z-]+)", span):
            assert command[1] in group().commands, f"{page.name}: {span}"
        if span.startswith(("rxclip ", "--")):
            named = {word.partition("=")[0] for word in span.split() if word.startswith("--")}
            assert named <= options | OTHER_OPTIONS, f"{page.name}: {span}"


@pytest.mark.parametrize("page", PAGES, ids=page_and_text)
def test_targets_of_make_are_there(page: Page) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in (*page.lines(), *page.spans()):
        if target := re.match(r"make ([a-z-]+)", line):
            assert re.search(rf"^{target[1]}:", makefile, flags=re.MULTILINE), line


@pytest.mark.parametrize("page", PAGES, ids=page_and_text)
def test_links_lead_somewhere(page: Page) -> None:
    for target in page.links():
        file, _, anchor = target.partition("#")
        path = (page.path.parent / file).resolve() if file else page.path
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in Page(path).anchors(), f"{page.name}: {target}"


def test_pictures_are_described_used_and_small() -> None:
    """Links of pages, with those of pictures, are looked at by `test_links_lead_somewhere`."""
    shown = {
        (page.path.parent / target).resolve(): words
        for page in PAGES
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.prose)
    }
    for path, words in shown.items():
        assert len(words.split()) >= 3, f"{path.name} is not described in words"
    pictures = set((ROOT / "docs" / "images").iterdir())
    assert pictures <= set(shown)
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) <= 80_000
    assert sum(sizes) <= 250_000
    assert all(path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<svg") for path in pictures)


def test_own_recordings_are_one_page_from_the_file_to_embeddings() -> None:
    lines = [
        line.split()[1] for line in Page(ROOT / "docs" / "own-recordings.md").lines() if line.startswith("rxclip ")
    ]
    steps = ["import-recording", "check-data", "check-sync", "view", "pretrain", "evaluate", "export-encoder", "embed"]
    assert list(dict.fromkeys(line for line in lines if line in steps)) == steps


@pytest.mark.parametrize("page", CURRENT, ids=page_and_text)
def test_files_that_are_named_exist(page: Page) -> None:
    for span in page.spans():
        if span.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", span):
            assert (ROOT / span).exists(), f"{page.name}: {span}"


def test_the_index_has_every_page() -> None:
    index = Page(ROOT / "docs" / "index.md")
    assert {path.name for path in index.path.parent.glob("*.md")} - {"index.md"} <= set(index.links())
    assert {f"tutorials/{path.name}" for path in (index.path.parent / "tutorials").glob("*.md")} <= set(index.links())


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
