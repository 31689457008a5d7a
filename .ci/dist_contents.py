"""Compare the sdist and the wheel in a folder with what git tracks: `python .ci/dist_contents.py dist`.

The sdist has every tracked file, and the wheel every tracked file of the package, byte for byte, and both nothing else
but the metadata that setuptools adds. The wheel is built from the sdist, so the latter has all that a build needs.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "revalexo_clip/"
ADDED = ("PKG-INFO", "setup.cfg", "revalexo_clip.egg-info/")
"""What setuptools adds to an sdist."""


def tracked() -> dict[str, bytes]:
    """Return the files that git tracks, as they are in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def in_sdist(path: Path) -> dict[str, bytes]:
    """Return the files of an sdist, without those that setuptools adds and without the folder that all lie in."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            name = member.name.partition("/")[2]
            if content and not name.startswith(ADDED):
                found[name] = content.read()
    return found


def in_wheel(path: Path) -> dict[str, bytes]:
    """Return the files of a wheel without its metadata."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")]
        return {name: archive.read(name) for name in names if not name.endswith("/")}


def differences(what: str, found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    """Return a line for each file that is missing, not expected or changed."""
    changed = [name for name in sorted(found.keys() & expected.keys()) if found[name] != expected[name]]
    return [
        *(f"{what}: lacks {name}" for name in sorted(expected.keys() - found.keys())),
        *(f"{what}: has {name}, which is not expected there" for name in sorted(found.keys() - expected.keys())),
        *(f"{what}: another content of {name}" for name in changed),
    ]


def main(folder: Path) -> None:
    """Exit with 1 if a file is missing, not expected or changed."""
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    files = tracked()
    package = {name: content for name, content in files.items() if name.startswith(PACKAGE)}
    problems = differences("sdist", in_sdist(sdist), files) + differences("wheel", in_wheel(wheel), package)
    if problems:
        sys.exit("\n".join(problems))
    for path, expected in ((sdist, files), (wheel, package)):
        print(f"{path.name}: {len(expected)} files, as in git, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
