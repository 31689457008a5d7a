"""Fixtures and settings for all tests.

Torch gets one thread: tests run beside others, and small tensors gain nothing from two. Ctrl-C works as in a terminal,
here and in every process that a test starts, even if the tests were started with `nohup make test &`.
"""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import torch
from support.small_run import built_in_experiment, link_run, train, write_distinct_dataset
from support.tiny_dataset import real_dataset, write_dataset

from revalexo_clip.config.loading import EXPERIMENT_MODULE
from revalexo_clip.core.component import Component
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.find import NAME

# For the processes that tests start: one thread each, and the experiments in support/ find their imports.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start background jobs with SIGINT ignored
torch.set_num_threads(1)
hypothesis.settings.register_profile("no deadlines", deadline=None)  # a loaded machine may take its time
hypothesis.settings.load_profile("no deadlines")


LONGEST = (
    *("test_killed.py", "test_cross_validation.py", "test_compiled.py", "test_cluster.py", "test_coverage.py"),
    *("test_false_verdicts.py", "test_doc_own_csv.py", "test_onnx.py", "test_encodings.py", "test_steady_step.py"),
    *("test_gpu.py", "test_platform.py", "test_sweep_run.py", "test_comparison.py", "test_doc_tutorials.py"),
)
"""Files that take minutes. They come first, so that at the end no process waits for another's last file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, and skip the tests marked `gpu` if there is no CUDA."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:  # processes that tests start inherit it
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Seed torch, so that a test draws the same numbers whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset, packed. Do not change it."""
    root = tmp_path_factory.mktemp("tiny") / "dataset"
    write_dataset(root)
    pack(root)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset, not packed, that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "dataset", ignore=shutil.ignore_patterns(NAME)))


@pytest.fixture(scope="session")
def real() -> Path:
    return real_dataset()


@pytest.fixture(scope="session")
def distinct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed dataset of five subjects in which all windows differ. Do not change it."""
    root = tmp_path_factory.mktemp("distinct") / "dataset"
    write_distinct_dataset(root)
    pack(root)
    return root


@pytest.fixture(scope="session")
def trained_run(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `built_in_experiment`. Do not write to it."""
    return train(built_in_experiment(distinct), tmp_path_factory.mktemp("built_in"))


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A run folder that a test may write to, with the checkpoint of `trained_run`."""
    return link_run(trained_run, tmp_path / "run")


@pytest.fixture
def only_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register only the components of this package, as in a new process, and remove after a test what it added."""
    built_in = {name: kind for name, kind in Component.registry.items() if kind.__module__.startswith("revalexo_clip.")}
    monkeypatch.setattr(Component, "registry", built_in)


@pytest.fixture(autouse=True)
def _log_as_in_a_new_process() -> None:
    """Undo what a command that ran in this process set, so that `caplog` sees the package's log lines."""
    log = logging.getLogger("revalexo_clip")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _experiments_are_imported_again_if_replaced() -> None:
    """Forget modules in support/ whose components are not the registered ones, so that the next import registers them.

    A file in support/ is a module and an experiment file. Loaded as the latter, its components replace those of the
    module, which then are unknown.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("support.") and name.endswith("_experiment") and not _is_registered(module):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _experiment_files_of_a_test_are_its_own() -> Iterator[None]:
    """Forget the experiment files that a test imported, and their components.

    Processes that later tests start would import the files, too, and components of other files may have their names.
    """
    modules, registry = set(sys.modules), dict(Component.registry)
    yield
    forgotten = {name for name in set(sys.modules) - modules if name.startswith(EXPERIMENT_MODULE)}
    for name in forgotten:
        del sys.modules[name]
    for name in [name for name, kind in Component.registry.items() if kind.__module__ in forgotten]:
        if name in registry:
            Component.registry[name] = registry[name]
        else:
            del Component.registry[name]


def _is_registered(module: ModuleType) -> bool:
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    components = [kind for kind in own if issubclass(kind, Component) and not inspect.isabstract(kind)]
    return all(Component.registry.get(kind.__name__) is kind for kind in components)
