"""How the package hangs together: imports point down only, and starting it is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import revalexo_clip

PACKAGE = Path(revalexo_clip.__file__).parent

FLOORS = (
    "core",
    "models data augment losses metrics optim jobs",
    "config",
    "reports",
    "runs",
    "training export",
    "pretraining evaluation",
    "finetuning",
    "cli",
)
"""The rooms, the lowest floor first. A room imports from floors below its own, and from what `NEIGHBOURS` names."""

NEIGHBOURS = {
    "augment": {"data"},
    "models": {"data"},
}
"""Rooms of the same floor that a room may import."""

DEPTH = {room: depth for depth, floor in enumerate(FLOORS) for room in floor.split()}
EXEMPT = ("__init__", "__main__")
"""The public interface, and the way in."""


def part_of(path: Path) -> str:
    """The room that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of everything that a file imports from the package, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == "revalexo_clip" and rest:
                yield node.lineno, rest[0]


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if part_of(path) not in EXEMPT)


def test_every_part_of_the_package_has_a_layer() -> None:
    assert {part_of(path) for path in SOURCES} <= set(DEPTH)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    own = part_of(path)
    wrong = [
        f"{path}:{line}: {own} imports {part}"
        for line, part in imported_parts(path)
        if part != own and DEPTH[part] >= DEPTH[own] and part not in NEIGHBOURS.get(own, set())
    ]
    assert wrong == []


def run_python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_command_line_is_there_before_anything_heavy_is() -> None:
    heavy = {"torch", "lightning", "pytorchvideo", "pydantic", "av", "numpy"}
    loaded = run_python("import sys, revalexo_clip, revalexo_clip.cli.app; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)


def test_help_answers_within_half_a_second() -> None:
    command = [sys.executable, "-m", "revalexo_clip", "--help"]
    times = []
    for _ in range(10):  # the best of several: other work on the machine only ever adds to it
        begun = time.perf_counter()
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - begun)
        assert "export-encoder" in finished.stdout
        if times[-1] < 0.5:
            return
    pytest.fail(f"the quickest of {len(times)} took {min(times):.2f} s")


def test_every_public_name_can_be_imported() -> None:
    for name in revalexo_clip.__all__:
        assert getattr(revalexo_clip, name) is not None
        assert name in dir(revalexo_clip)
    with pytest.raises(AttributeError, match="DeepConvLTSM"):
        _ = vars(revalexo_clip)["__getattr__"]("DeepConvLTSM")


def test_the_package_ships_its_types() -> None:
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is there, and others may load it")
def test_nothing_leaves_a_torchvision_behind_where_there_is_none() -> None:
    modules = [
        ".".join(("revalexo_clip", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in SOURCES
    ]
    run_python(
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "from revalexo_clip import X3D, MViT, VideoSpec\n"
        "X3D(weights=None).build(VideoSpec(4, 64, 64, 2.0), 8)\n"
        "MViT(weights=None).build(VideoSpec(4, 64, 64, 2.0), 8)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'torchvision']"
    )
