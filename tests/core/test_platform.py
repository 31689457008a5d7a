"""Commands run where the operating system offers less than Linux."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.platforms import REMOVED, lacking, lesser_platform
from support.small_process import EXPERIMENT, succeed
from support.sound_dataset import write_sound_dataset

import revalexo_clip
from revalexo_clip.core import platform
from revalexo_clip.core.files import lock, sync_folder

PACKAGE = Path(revalexo_clip.__file__).parent


def names_in(source: str) -> set[str]:
    """Return the names of the standard library that a module uses and macOS or Windows lacks."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {f"{node.value.id}.{node.attr}"} if node.attr in lacking(node.value.id) else set()
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if "*" in lacking(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name in lacking(node.module)}
            found |= {node.module} if "*" in lacking(node.module) else set()
    return found


needs_stubs = pytest.mark.skipif(find_spec("mypy") is None, reason="stubs of the standard library come with mypy")


@needs_stubs
def test_the_stubs_tell_what_platforms_lack() -> None:
    source = "import fcntl, resource\nfrom os import pread\nos.sched_getaffinity(0), signal.SIGUSR1, os.fsync(1)"
    assert names_in(source) == {"fcntl", "resource", "os.pread", "os.sched_getaffinity", "signal.SIGUSR1"}
    assert set(REMOVED["os"]) <= lacking("os")
    assert set(REMOVED["signal"]) <= lacking("signal")


@pytest.mark.long
@needs_stubs
def test_only_one_module_uses_what_a_platform_may_lack() -> None:
    used = {
        path.relative_to(PACKAGE).as_posix(): found
        for path in PACKAGE.rglob("*.py")
        if (found := names_in(path.read_text(encoding="utf-8")))
    }
    assert used == {}


@pytest.mark.long
def test_commands_run_on_a_platform_that_lacks_them(tmp_path: Path) -> None:
    lesser = lesser_platform(tmp_path / "lesser")
    check = "import os; from revalexo_clip.core import platform as p; assert not hasattr(os, 'pread') and not p._FCNTL"
    subprocess.run([sys.executable, "-c", check], env={**os.environ, **lesser}, check=True)

    def run(*arguments: str | Path) -> str:
        return succeed(*arguments, cwd=tmp_path, **lesser).stdout

    run("synthesize", "simulated", "--subjects", "2", "--clips", "1")
    run("check-data", "simulated", "--jobs", "2")
    run("pack", "simulated", "--out", "simulated.h5", "--jobs", "2")
    write_sound_dataset(tmp_path / "dataset")
    assert "peak memory" not in run("pretrain", EXPERIMENT, "--dry-run")
    run("pretrain", EXPERIMENT)
    (trained,) = (tmp_path / "runs" / "small").iterdir()
    assert (trained / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "runs" / "latest").exists()
    assert "finished" in run("runs")
    run("sweep", EXPERIMENT, "--seeds", "2", "--jobs", "2")
    assert "sweep" in run("runs", "--where", "state=finished")


def test_what_is_missing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 64)
    with monkeypatch.context() as patch:
        for name in REMOVED["os"]:
            patch.delattr(os, name)
        for name in ("SIGUSR1", *REMOVED["signal"]):
            patch.delattr(signal, name)
        patch.setattr(platform, "_FCNTL", None)
        patch.setattr(platform, "_RESOURCE", None)
        assert platform.cpu_count() == os.cpu_count()
        assert platform.peak_memory() is None
        assert platform.existing_signals("SIGINT", "SIGUSR1") == (signal.SIGINT,)
        assert platform.open_folder(tmp_path) is None
        sync_folder(tmp_path)
        descriptor = platform.open_binary(tmp_path / "file")
        assert not lock(descriptor, wait=False)
        with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
            platform.flock(descriptor, wait=True)
        patch.delattr(os, "register_at_fork")
        platform._watch_forks.cache_clear()
        platform.release_in_forks(descriptor)
        platform.keep_in_forks(descriptor)
        platform._watch_forks.cache_clear()
        patch.setattr(sys, "platform", "win32")
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            platform.send_signal(process, signal.SIGINT)  # the console does that
            process.communicate(b"\n")
        assert process.returncode == 0
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda offset: platform.read_at(descriptor, 3, offset), range(2000)))
        os.close(descriptor)
    assert read == [bytes((offset + step) % 256 for step in range(3)) for offset in range(2000)]


MEASURE = "from revalexo_clip.core import platform; print(platform.peak_memory())"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count what the parent used")
def test_the_peak_memory_is_not_that_of_the_parent() -> None:
    parent = (
        f"import subprocess, sys; used = b'1' * 2**29; subprocess.run([sys.executable, '-c', {MEASURE!r}], check=True)"
    )
    said = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 2**20 < int(said.stdout) < 2**29


def test_the_peak_memory_without_the_file_of_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = platform.peak_memory()
    assert expected is not None
    monkeypatch.setattr(platform, "_STATUS", tmp_path / "status")
    assert (platform.peak_memory() or 0) >= expected * 0.9
    (tmp_path / "status").write_text("Name: python\n")
    assert (platform.peak_memory() or 0) >= expected * 0.9


def test_what_is_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert platform.cpu_count() == len(os.sched_getaffinity(0))
    assert (platform.peak_memory() or 0) > 2**20
    assert platform.existing_signals("SIGINT", "SIGUSR1") == (signal.SIGINT, signal.SIGUSR1)
    descriptor, other = platform.open_binary(tmp_path / "file"), platform.open_binary(tmp_path / "file")
    assert platform.read_at(descriptor, 3, 4) == b"456"
    assert not os.get_inheritable(descriptor)
    assert lock(descriptor, wait=False)
    with pytest.raises(BlockingIOError):
        lock(other, wait=False)
    folder = platform.open_folder(tmp_path)
    assert folder is not None
    for opened in (descriptor, other, folder):
        os.close(opened)
