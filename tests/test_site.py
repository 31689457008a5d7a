"""The site of the documentation: what is missing fails its build. `make docs` builds it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.pages import ROOT

import revalexo_clip
from revalexo_clip.cli.app import app

pytest.importorskip("mkdocs")

HALF_DESCRIBED = '''
"""A module."""
Letter = str
class Thing:
    """A thing."""
    size: int = 1
    """Its size."""
    weight: float = 2.0
    _hidden: int = 3
class Bare:
    pass
def described() -> None:
    """It is."""
'''


@pytest.fixture(scope="module")
def made_pages() -> ModuleType:
    path = ROOT / "docs" / "hooks" / "made_pages.py"
    spec = importlib.util.spec_from_file_location("made_pages", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def half_described(made_pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module whose names count as public."""
    (tmp_path / "half_described.py").write_text(HALF_DESCRIBED)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("half_described")
    for name in ("Thing", "Bare", "described", "Letter"):
        monkeypatch.setattr(made_pages.revalexo_clip, name, getattr(module, name), raising=False)
    yield module
    sys.modules.pop("half_described")


@pytest.mark.parametrize(
    ("name", "missing"),
    [("Thing", ["Thing.weight"]), ("Bare", ["Bare"]), ("described", []), ("Letter", ["Letter"])],
)
def test_a_name_or_field_without_description_is_a_warning(
    name: str,
    missing: list[str],
    half_described: ModuleType,
    made_pages: ModuleType,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made_pages.check_described(half_described.__name__, name)
    expected = [f"half_described.{found} has no description" for found in missing]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == expected


def test_the_reference_has_every_public_name(made_pages: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    pages = made_pages.reference()
    listed = [line.rpartition(".")[2] for page in pages.values() for line in page.splitlines() if line[:4] == "::: "]
    assert sorted(listed) == sorted({*revalexo_clip.__all__} - {"__version__"})
    assert not caplog.records


@pytest.mark.long
def test_the_page_of_commands_has_the_help_of_each(made_pages: ModuleType) -> None:
    page = made_pages.commands()
    assert page.count("\n## rxclip ") == sum(not command.hidden for command in app.registered_commands) > 15
    assert "Usage: rxclip export-encoder [OPTIONS]" in page
