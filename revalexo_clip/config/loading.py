"""Loading `FILE.py[:Class]`, and `--set path=value`."""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast, get_origin

from pydantic import JsonValue, ValidationError

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component, JsonObject, describe, nearest
from revalexo_clip.core.errors import ConfigError, UserError

E = TypeVar("E", bound=Experiment)

_PREFIX = "revalexo_clip_experiment_"
"""Begins the names of the modules of experiment files."""


def load_experiment(target: str, overrides: Sequence[str] = ()) -> PretrainExperiment:
    """The pretraining that `FILE.py` or `FILE.py:Class` defines. See `load_experiment_of`."""
    return load_experiment_of(PretrainExperiment, target, overrides)


def load_experiment_of(kind: type[E], target: str, overrides: Sequence[str] = ()) -> E:
    """The experiment of some kind that `FILE.py` or `FILE.py:Class` defines, with `path=value` overrides applied.

    Raises `ConfigError`, which names the file or the dotted path.
    """
    path, _, class_name = target.partition(":")
    chosen = _choose_class(import_experiment_file(Path(path)), Path(path), class_name, kind)
    try:
        experiment = chosen.model_validate({})
        if not overrides:
            return experiment
        return chosen.model_validate(apply_overrides(experiment.model_dump(mode="json"), overrides))
    except ValidationError as error:
        raise ConfigError(f"{target}:\n{describe(error)}") from error


def import_experiment_file(path: Path) -> ModuleType:
    """Run an experiment file, its own folder first on the import path as Python does for a script.

    Components that it defines are registered. Raises `ConfigError` with the line that failed.
    """
    if not path.is_file():
        found = sorted(str(near) for near in (path.parent if path.parent.is_dir() else Path()).glob("*.py"))
        hint = nearest(str(path), found) if found else ""
        raise ConfigError(f"{path}: no such experiment file{hint}")
    if path.suffix != ".py":
        raise ConfigError(f"{path} is not an experiment file: an experiment is a Python file, FILE.py or FILE.py:Class")
    name = f"{_PREFIX}{path.stem}_{zlib.crc32(bytes(path.resolve())):08x}"  # one name for each file
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _import_path(path.resolve().parent):
            spec.loader.exec_module(module)
    except UserError:
        raise
    except ValidationError as error:
        raise ConfigError(f"{_place(error, path)}: {error.title}: {describe(error)}") from error
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # whatever a user's file may raise: reported with its line, never passed over
        raise ConfigError(f"{_place(error, path)}: {type(error).__name__}: {error}") from error
    return module


def experiment_files() -> tuple[Path, ...]:
    """The experiment files that this process has imported, in that order."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_PREFIX)]
    return tuple(Path(module.__file__) for module in modules if module.__file__ is not None)


@contextmanager
def _import_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _place(error: BaseException, path: Path) -> str:
    """`file:line` of the last line of the user's own file that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    return f"{path}:{own[-1]}" if own else str(path)


def _choose_class(module: ModuleType, path: Path, class_name: str, kind: type[E]) -> type[E]:
    defined = {
        name: item
        for name, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, Experiment) and item.__module__ == module.__name__
    }
    suited = {name: item for name, item in defined.items() if issubclass(item, kind)}
    if class_name:
        if class_name in defined and class_name not in suited:
            raise ConfigError(f"{path}: {_of_another_kind(defined[class_name])}")
        if class_name not in suited:
            raise ConfigError(f"{path} has no experiment '{class_name}'{nearest(class_name, suited)}")
        return suited[class_name]
    if not suited:
        if defined:
            raise ConfigError(f"{path}: {_of_another_kind(next(iter(defined.values())))}")
        raise ConfigError(f"{path} defines no experiment: write a subclass of {kind.__name__} in it")
    if len(suited) > 1:
        choices = ", ".join(f"{path}:{name}" for name in suited)
        raise ConfigError(f"{path} defines {len(suited)} experiments; choose one: {choices}")
    return next(iter(suited.values()))


def _of_another_kind(experiment: type[Experiment]) -> str:
    kind = experiment.kind().__name__
    command = kind.removesuffix("Experiment").lower()
    return f"{experiment.__name__} is a {kind}, which is run by rxclip {command}"


def apply_overrides(dumped: JsonObject, overrides: Sequence[str]) -> JsonObject:
    """Edit an experiment's JSON form by `a.b=value` texts and return the edited copy.

    `a.type=Name` switches the component at `a` to one with its own defaults, before its fields are set. Values are
    JSON; text needs no quotes, `none` is null, and a list may be written `a,b`. Raises `ConfigError` where a path does
    not exist.
    """
    edited = cast("JsonObject", json.loads(json.dumps(dumped)))
    pairs = [_split(text) for text in overrides]
    switches = sorted((pair for pair in pairs if pair[0][-1] == "type"), key=lambda pair: len(pair[0]))
    for path, raw in [*switches, *(pair for pair in pairs if pair[0][-1] != "type")]:
        _set(edited, path, raw)
    return edited


def _split(text: str) -> tuple[list[str], str]:
    path, equals, raw = text.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"--set {text}: write it as path=value, e.g. --set trainer.max_epochs=10")
    return path.split("."), raw


def _set(edited: JsonObject, path: list[str], raw: str) -> None:
    parent: JsonValue = edited
    last = path[-1]
    for depth, key in enumerate(path[:-1]):
        child = _child(parent, key, path[: depth + 1])
        if child is None and last == "type" and isinstance(parent, dict):  # a component where there was none
            child = parent[key] = {}
        parent = child
    if isinstance(parent, dict):  # an unknown last field is left to validation, which knows the component
        if last != "type":
            parent[last] = _parse_field(raw, parent, path)
        elif parent.get("type") != raw:
            parent.clear()
            parent |= _defaults(raw)
    else:
        current = _child(parent, last, path)
        assert isinstance(parent, list)
        parent[int(last)] = _parse(raw, current)


def _child(parent: JsonValue, key: str, path: list[str]) -> JsonValue:
    shown = ".".join(path)
    if isinstance(parent, dict):
        if key not in parent:
            raise ConfigError(f"--set {shown}: unknown field '{key}'{nearest(key, parent)}")
        return parent[key]
    if isinstance(parent, list):
        if not key.isdecimal() or int(key) >= len(parent):
            raise ConfigError(f"--set {shown}: '{key}' is not an index into a list of {len(parent)}")
        return parent[int(key)]
    raise ConfigError(f"--set {shown}: '{'.'.join(path[:-1])}' is {json.dumps(parent)} and has no fields")


def _parse_field(raw: str, parent: JsonObject, path: list[str]) -> JsonValue:
    last = path[-1]
    current = parent[last] if last in parent else _value_like(parent, last)
    value = _parse(raw, current)
    if isinstance(current, dict) and value is not None and not isinstance(value, dict):
        shown = ".".join(path)
        hint = f"--set {shown}.type={raw}, or " if "type" in current else ""
        raise ConfigError(f"--set {shown}={raw}: {shown} has fields of its own: write {hint}--set {shown}.FIELD=VALUE")
    return value


def _defaults(name: str) -> JsonObject:
    """JSON form of a component with its defaults; fields that have none are missing."""
    kind = Component.registry.get(name)
    return {"type": name} if kind is None else kind.model_construct().model_dump(mode="json", warnings=False)


def _value_like(parent: JsonObject, key: str) -> JsonValue:
    """An empty list where a field takes lists but holds nothing yet, since its component was only just chosen."""
    kind = Component.registry.get(str(parent.get("type")))
    field = kind.model_fields.get(key) if kind else None
    return [] if field is not None and get_origin(field.annotation) is tuple else None


def _parse(raw: str, current: JsonValue) -> JsonValue:
    if raw.lower() in ("none", "null"):
        return None
    if isinstance(current, list) and "{" not in raw:
        return _parse_list(raw, texts=not current or isinstance(current[0], str))
    if isinstance(current, str) and not raw.startswith('"'):
        return raw
    try:
        return cast("JsonValue", json.loads(raw))
    except json.JSONDecodeError:
        return raw


def _parse_list(raw: str, *, texts: bool) -> list[JsonValue]:
    """`a,b`, `[a,b]` or JSON. Where `texts` are wanted, 08 is one; numbers are left to validation otherwise."""
    try:
        parsed = json.loads(raw)
    except json.JSONDecodeError:
        parsed = None
    if isinstance(parsed, list) and (not texts or all(isinstance(item, str) for item in parsed)):
        return parsed
    items = raw.strip().removeprefix("[").removesuffix("]").split(",")
    return [item.strip().strip("\"'") for item in items if item.strip()]
