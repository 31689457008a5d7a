"""Collect the wheels that a bare GPU machine without network lacks: `python -m benchmarks.gpu.wheels FOLDER`.

    make wheels-gpu

The machine has torch, lightning and the other packages of `PRESENT`, with all that they require. What else the project
requires is found from the packages that are installed here, in the same versions. Wheels are those of `--python`, for
Linux on x86-64; sources without a wheel are built here, which works because they are plain Python.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "revalexo-clip"
PRESENT = (
    *("torch", "lightning", "numpy", "h5py", "scipy", "scikit-learn"),
    *("matplotlib", "safetensors", "typer", "rich"),
)
"""Packages that the machine has."""
NOT_SURE = ("annotated-types", "lazy-loader", "pydantic", "pydantic-core", "typing-inspection")
"""Packages that only some versions of those require, so that the machine may lack them."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")
TESTS = ("pytest", "hypothesis")
"""Packages that `make test-gpu` needs beside those that the project requires."""
LIMIT = 60
"""Largest size of the folder [MB]."""
ROOT = Path(__file__).parents[2]


def required(names: Iterable[str]) -> set[str]:
    """Return the names of installed packages and of all that they require, directly or not."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in declared() if name == PROJECT else metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def declared() -> list[str]:
    """Return what the project requires, as it says now, which an older installation does not know."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*map(str, project["dependencies"])]


def lacking() -> list[str]:
    """Return `name==version` of every package that the machine lacks, without the project itself."""
    names = required([PROJECT, *TESTS]) - (required(PRESENT) - set(NOT_SURE)) - {PROJECT}
    return [f"{name}=={metadata.version(name)}" for name in sorted(names)]


def main() -> None:
    """Fill the folder and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.wheels")
    parser.add_argument("folder", type=Path, help="Folder to write; what is in it is deleted.")
    parser.add_argument("--python", default="3.12", help="Python of the machine.")
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    for package in lacking():
        collect(package, given.folder, given.python)
    pip("wheel", "--no-deps", "--wheel-dir", str(given.folder), str(ROOT))
    files = sorted(given.folder.glob("*.whl"))
    for file in files:
        print(f"{file.stat().st_size / 1e6:6.1f} MB  {file.name}")
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{size:6.1f} MB in {given.folder}. On the machine, in a copy of the repository:")
    print(f"  python3 -m pip install --no-index --no-deps --find-links {given.folder.name} {given.folder.name}/*.whl")
    if size > LIMIT:
        sys.exit(f"the folder is larger than {LIMIT} MB")


def collect(package: str, folder: Path, python: str) -> None:
    """Download the wheel of a package, or build one if there are only sources. Raises `CalledProcessError`."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    binary = ["--only-binary=:all:", "--python-version", python, *platforms, "--dest", str(folder), package]
    if pip("download", "--no-deps", *binary, check=False):
        return
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), package)
    name = package.partition("==")[0].replace("-", "_")
    if not any(folder.glob(f"{name}-*-none-any.whl")):
        sys.exit(f"{package} has no wheel for Python {python}, and one that is built here would not fit the machine")


def pip(*arguments: str, check: bool = True) -> bool:
    """Run pip, and return whether it succeeded."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    return subprocess.run(command, check=check, stderr=None if check else subprocess.DEVNULL).returncode == 0  # noqa: S603


if __name__ == "__main__":
    main()
