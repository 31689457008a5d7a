"""The versions and files of `pyproject.toml` are those that `make test-lowest` and `make dist` install."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, Version]:
    """Return the versions in a file of constraints."""
    lines = [line for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")]
    return {found[0].lower(): Version(found[1]) for found in (line.split("==") for line in lines)}


def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def required() -> list[Requirement]:
    """Return what the package and its extras require of others."""
    named = project()["project"]
    texts = [*named["dependencies"], *(text for extra in named["optional-dependencies"].values() for text in extra)]
    return [found for found in map(Requirement, texts) if found.name != named["name"]]


def test_the_lowest_versions_that_are_tested_are_the_lowest_that_are_allowed() -> None:
    lowest, tested = pinned("constraints-lowest.txt"), pinned("constraints.txt")
    for requirement in required():
        (bound,) = requirement.specifier
        assert bound.operator == ">=", requirement
        assert lowest[requirement.name] == Version(bound.version), requirement
        assert tested[requirement.name] in requirement.specifier, requirement


def test_every_file_of_the_package_gets_into_the_wheel() -> None:
    package = REPOSITORY / "revalexo_clip"
    (data,) = project()["tool"]["setuptools"]["package-data"].values()
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {file for file in files if not file.endswith((".py", ".pyc"))} == set(data)
