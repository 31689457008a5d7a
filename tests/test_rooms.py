"""The rooms of the package: imports point down only, files are small, and `rxclip --help` is quick."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import revalexo_clip

PACKAGE = Path(revalexo_clip.__file__).parent

FLOORS = (
    "__init__ __main__",
    "cli",
    "sweeps",
    "finetuning sync",
    "pretraining evaluation",
    "training export",
    "runs",
    "devices",
    "reports",
    "config",
    "models data augment losses metrics optim jobs",
    "motion",
    "core",
)
"""The rooms, the highest floor first. A room imports from the floors below it, never from another room of its floor."""

DEPTH = {room: depth for depth, floor in enumerate(FLOORS) for room in floor.split()}


def module_of(path: Path) -> str:
    """Return the dotted name of the module in a file of the package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """Return the first name below the package."""
    return module.split(".")[1] if "." in module else "__init__"


SOURCES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports_of(module: str) -> list[tuple[int, str]]:
    """Return line and name of every module of the package that a module imports, anywhere in its file."""
    return list(_imports_of(module))


def _imports_of(module: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == PACKAGE.name:
                yield node.lineno, name if name in SOURCES else name.rpartition(".")[0]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_point_down_only(module: str) -> None:
    room = room_of(module)
    found = [
        f"{module}:{line} imports {other}"
        for line, other in imports_of(module)
        if room_of(other) != room and DEPTH[room_of(other)] <= DEPTH[room]
    ]
    assert found == []


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in SOURCES} == set(DEPTH)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: {other for _, other in imports_of(module)} - {module} for module in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_at_most_four_files_lie_in_no_room() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 4


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in SOURCES.items()}
    assert {module: length for module, length in lengths.items() if length > 300} == {}


def test_tests_lie_in_rooms_of_the_same_names() -> None:
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/*.py")}
    assert folders - {"support"} <= set(DEPTH)


def run_python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = {"torch", "lightning", "pytorchvideo", "pydantic", "av", "numpy"}
    loaded = run_python("import sys, revalexo_clip, revalexo_clip.cli.app; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)


def test_help_answers_within_half_a_second() -> None:
    """It takes less than half a second of processor time, which other work on the machine does not add to."""
    command = [sys.executable, "-m", "revalexo_clip", "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "export-encoder" in finished.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_every_public_name_can_be_imported() -> None:
    for name in revalexo_clip.__all__:
        assert getattr(revalexo_clip, name) is not None
        assert name in dir(revalexo_clip)
    with pytest.raises(AttributeError, match="DeepConvLTSM"):
        _ = vars(revalexo_clip)["__getattr__"]("DeepConvLTSM")


def test_the_package_ships_its_types() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.long
@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed, and others may load it")
def test_no_module_leaves_a_torchvision_behind_if_none_is_installed() -> None:
    modules = [module for module in SOURCES if module != "revalexo_clip.__main__"]
    run_python(
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "from revalexo_clip import X3D, MViT, VideoSpec\n"
        "X3D(weights=None).build(VideoSpec(4, 64, 64, 2.0), 8)\n"
        "MViT(weights=None).build(VideoSpec(4, 64, 64, 2.0), 8)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'torchvision']"
    )
