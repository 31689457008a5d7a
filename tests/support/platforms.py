"""What Linux has and macOS or Windows lacks, by the type stubs of the standard library, and processes without it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

OTHERS = ("darwin", "win32")


def _stub(module: str) -> Path | None:
    """Return the stub of a module that ships with mypy."""
    spec = find_spec("mypy")
    assert spec is not None
    assert spec.origin is not None
    stubs = Path(spec.origin).parent / "typeshed" / "stdlib"
    places = (stubs / f"{module}.pyi", stubs / module / "__init__.pyi")
    return next((place for place in places if place.is_file()), None)


def _defined(statements: Sequence[ast.stmt], platform: str) -> Iterator[str]:
    """Yield the public names that the statements of a stub define on a platform."""
    for node in statements:
        if isinstance(node, ast.If):
            yield from _defined(node.body if _holds(node.test, platform) else node.orelse, platform)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.ImportFrom) and node.names[0].asname:
            yield from (alias.name for alias in node.names)


def _holds(test: ast.expr, platform: str) -> bool:
    known = {"sys": SimpleNamespace(platform=platform, version_info=sys.version_info), "TYPE_CHECKING": True}
    return bool(eval(compile(ast.Expression(test), "stub", "eval"), known))


@cache
def lacking(module: str) -> frozenset[str]:
    """Return the names of a standard module that macOS or Windows lacks; "*" stands for the module itself."""
    stub = _stub(module)
    if stub is None:
        return frozenset()
    body = ast.parse(stub.read_text(encoding="utf-8")).body
    here, *others = (set(_defined(body, platform)) for platform in ("linux", *OTHERS))
    missing = {name for other in others for name in here - other}
    return frozenset(missing | ({"*"} if here and not all(others) else set()))


_SITE = """
import builtins, io, multiprocessing, os, shutil, signal, sys
from pathlib import Path

for module, names in ((os, {os}), (signal, {signal})):
    for name in names:
        delattr(module, name)
def symlink(*arguments, **options):
    raise OSError(22, "A required privilege is not held by the client")

os.symlink = symlink
sys.modules["fcntl"] = sys.modules["resource"] = None  # importing them fails
if multiprocessing.get_start_method(allow_none=True) is None:
    multiprocessing.set_start_method("spawn")

def opened():  # by this process, its parent and its children, mapped files included
    children = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
    for process in (Path("/proc") / str(one) for one in ("self", os.getppid(), *children)):
        try:
            yield from (os.readlink(one) for one in (process / "fd").iterdir())
            yield from {{line.split(maxsplit=5)[-1] for line in (process / "maps").read_text().splitlines()}}
        except OSError:
            continue

def refusing(call):
    def refused(*paths, **options):
        for path in map(os.path.realpath, paths):
            if any(one == path or one.startswith(path + "/") for one in opened()):
                raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
        if call.__name__ == "rename" and os.path.exists(paths[1]):
            raise FileExistsError(17, "Cannot create a file when that file already exists", str(paths[1]))
        return call(*paths, **options)
    return refused

shutil._use_fd_functions = False
for name in ("replace", "rename", "unlink", "remove"):
    setattr(os, name, refusing(getattr(os, name)))

really_open = io.open
def text_of_windows(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *more, **options):
    if "b" not in mode:
        encoding = encoding or "cp1252"
        newline = "\\r\\n" if newline is None and set(mode) & set("wax+") else newline
    return really_open(file, mode, buffering, encoding, errors, newline, *more, **options)

builtins.open = io.open = text_of_windows
"""

REMOVED = {
    "os": ("O_CLOEXEC", "O_DIRECTORY", "getloadavg", "posix_fadvise", "pread", "sched_getaffinity"),
    "signal": ("SIGHUP", "SIGUSR2"),
}
"""Names of `os` and `signal` that the package used or may come to use. Lightning needs SIGUSR1 except on Windows."""


def lesser_platform(folder: Path) -> dict[str, str]:
    """Return environment variables of a process, and of all that it starts, on a platform that has less than Linux.

    They make Python run a file in `folder` when it starts. The processes fork no others, as on macOS and Windows. Text
    files have the line ends of Windows, and its encoding if none is given; no open file can be replaced or deleted.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE.format(**REMOVED), encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
