"""The lowest versions that are promised are those that `make test-lowest` installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, Version]:
    """Return the versions in a file of constraints."""
    lines = [line for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")]
    return {found[0].lower(): Version(found[1]) for found in (line.split("==") for line in lines)}


def required() -> list[Requirement]:
    """Return what the package and its extras require of others."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    return [found for found in map(Requirement, texts) if found.name != project["name"]]


def test_the_lowest_versions_that_are_tested_are_the_lowest_that_are_allowed() -> None:
    lowest, tested = pinned("constraints-lowest.txt"), pinned("constraints.txt")
    for requirement in required():
        (bound,) = requirement.specifier
        assert bound.operator == ">=", requirement
        assert lowest[requirement.name] == Version(bound.version), requirement
        assert tested[requirement.name] in requirement.specifier, requirement
