"""Load experiments from `FILE.py[:Class]`, and apply `path=value` overrides."""

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
from typing import Literal, TypeVar, cast, get_args, get_origin

from pydantic import JsonValue, ValidationError

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component, JsonObject, describe, nearest
from revalexo_clip.core.errors import ConfigError, UserError

E = TypeVar("E", bound=Experiment)

EXPERIMENT_MODULE = "revalexo_clip_experiment_"
"""Prefix of the module names of experiment files."""


def load_experiment(target: str, overrides: Sequence[str] = ()) -> PretrainExperiment:
    """Load the pretraining experiment that `FILE.py` or `FILE.py:Class` defines. See `load_experiment_of`."""
    return load_experiment_of(PretrainExperiment, target, overrides)


def load_experiment_of(kind: type[E], target: str, overrides: Sequence[str] = ()) -> E:
    """Load the experiment of a kind that `FILE.py` or `FILE.py:Class` defines, and apply `path=value` overrides.

    Raises `ConfigError`, naming the file or the dotted path of every mistake that can be found.
    """
    path, class_name = split_target(target)
    chosen = _choose_class(import_experiment_file(path), path, class_name, kind)
    try:
        experiment = chosen.model_validate({})
        if not overrides:
            return experiment
    except ValidationError as error:
        raise ConfigError(f"{target}:\n{describe(error)}") from error
    edited, mistakes = _edit(experiment.model_dump(mode="json"), overrides)
    try:
        changed = chosen.model_validate(edited)
    except ValidationError as error:
        raise ConfigError("\n".join([*mistakes, f"{target}:\n{describe(error)}"])) from error
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return changed


def split_target(target: str) -> tuple[Path, str]:
    """Return the file and the class of `FILE.py` or `FILE.py:Class`; the class is "" if there is none.

    Folders may have a colon in their names, as on Windows, where a path begins with a drive.
    """
    file, colon, class_name = target.rpartition(".py:")
    if colon:
        return Path(f"{file}.py"), class_name
    file, _, class_name = (target, "", "") if target.endswith(".py") else target.partition(":")
    return Path(file), class_name


def import_experiment_file(path: Path) -> ModuleType:
    """Import an experiment file, with its folder first on the import path as for a Python script.

    Components that it defines are registered. Raises `ConfigError`, naming the line that failed.
    """
    if not path.is_file():
        found = sorted(str(near) for near in (path.parent if path.parent.is_dir() else Path()).glob("*.py"))
        hint = nearest(str(path), found) if found else ""
        raise ConfigError(f"{path}: no such experiment file{hint}")
    if path.suffix != ".py":
        raise ConfigError(f"{path} is not an experiment file; name a Python file, FILE.py or FILE.py:Class")
    name = f"{EXPERIMENT_MODULE}{path.stem}_{zlib.crc32(bytes(path.resolve())):08x}"  # one name for each file
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _importing(name, module, path.resolve().parent):
            spec.loader.exec_module(module)
    except UserError:
        raise
    except ValidationError as error:
        raise ConfigError(f"{_place(error, path)}: {error.title}: {describe(error)}") from error
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:  # a user's file may raise anything: report it with its line
        raise ConfigError(f"{_place(error, path)}: {type(error).__name__}: {error}") from error
    return module


def experiment_files() -> tuple[Path, ...]:
    """Return the experiment files that this process has imported without error, in order."""
    modules = [module for name, module in sys.modules.items() if name.startswith(EXPERIMENT_MODULE)]
    return tuple(Path(module.__file__) for module in modules if module.__file__ is not None)


@contextmanager
def _importing(name: str, module: ModuleType, folder: Path) -> Iterator[None]:
    """Import a module with a folder first on the import path. If that fails, keep the one that was there before."""
    before = {key: value for key, value in sys.modules.items() if key == name}
    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    try:
        yield
    except BaseException:
        del sys.modules[name]
        sys.modules.update(before)
        raise
    finally:
        sys.path.remove(str(folder))


def _place(error: BaseException, path: Path) -> str:
    """Return `file:line` of the last line of the user's file in the traceback."""
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
    """Return a copy of an experiment's JSON form, edited by `a.b=value` texts.

    `a.type=Name` replaces the component at `a` by `Name` with its defaults, before other fields are set. Values are
    JSON; text needs no quotes, `none` is null, and a list may be written `a,b`. Raises `ConfigError`, naming each path
    that does not exist.
    """
    edited, mistakes = _edit(dumped, overrides)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return edited


def _edit(dumped: JsonObject, overrides: Sequence[str]) -> tuple[JsonObject, list[str]]:
    """Apply the overrides that can be applied; return the result, and what is wrong with the others."""
    edited = cast("JsonObject", json.loads(json.dumps(dumped)))
    mistakes: list[str] = []
    pairs: list[tuple[list[str], str]] = []
    for text in overrides:
        try:
            pairs.append(_split(text))
        except ConfigError as error:
            mistakes.append(str(error))
    switches = sorted((pair for pair in pairs if pair[0][-1] == "type"), key=lambda pair: len(pair[0]))
    for path, raw in [*switches, *(pair for pair in pairs if pair[0][-1] != "type")]:
        try:
            _set(edited, path, raw)
        except ConfigError as error:
            mistakes.append(str(error))
    return edited, list(dict.fromkeys(mistakes))


def texts_of(raw: str) -> list[str]:
    """Read a list of texts as `--set` does: `a,b`, `[a,b]` or JSON."""
    return [str(item) for item in _parse_list(raw, texts=True)]


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
        if child is None and last == "type" and isinstance(parent, dict):  # a new component
            child = parent[key] = {}
        parent = child
    if isinstance(parent, dict):  # validation reports an unknown last field, because it knows the component
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
    of = ".".join(path[:-1])
    how = f"; set it as a whole, --set {of}='{{\"{key}\": ...}}'" if parent is None else ""
    raise ConfigError(f"--set {shown}: '{of}' is {json.dumps(parent)} and has no fields{how}")


def _parse_field(raw: str, parent: JsonObject, path: list[str]) -> JsonValue:
    last = path[-1]
    current = parent[last] if last in parent else _value_like(parent, last)
    if isinstance(current, str) and raw.isdecimal() and _takes_number_or_name(parent, last):
        return int(raw)
    value = _parse(raw, current)
    if isinstance(current, dict) and value is not None and not isinstance(value, dict):
        shown = ".".join(path)
        hint = f"--set {shown}.type={raw}, or " if "type" in current else ""
        raise ConfigError(f"--set {shown}={raw}: {shown} has fields of its own: write {hint}--set {shown}.FIELD=VALUE")
    return value


def _defaults(name: str) -> JsonObject:
    """Return the JSON form of a component with its defaults; fields without a default are missing."""
    kind = Component.registry.get(name)
    return {"type": name} if kind is None else kind.model_construct().model_dump(mode="json", warnings=False)


def _value_like(parent: JsonObject, key: str) -> JsonValue:
    """Return an empty list for a list field that has no value yet because its component was just chosen."""
    kind = Component.registry.get(str(parent.get("type")))
    field = kind.model_fields.get(key) if kind else None
    return [] if field is not None and get_origin(field.annotation) is tuple else None


def _takes_number_or_name(parent: JsonObject, key: str) -> bool:
    """Return whether a field of a component takes integers and certain names, but no other text, as `frozen` does."""
    kind = Component.registry.get(str(parent.get("type")))
    field = kind.model_fields.get(key) if kind else None
    kinds = set() if field is None else set(_leaves(field.annotation))
    return int in kinds and str not in kinds


def _leaves(annotation: object) -> Iterator[type]:
    """Yield the types in an annotation; of a literal, `int` if it has numbers."""
    if get_origin(annotation) is Literal:
        yield from (int for value in get_args(annotation) if type(value) is int)
    elif isinstance(annotation, type):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _leaves(part)


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
    """Parse `a,b`, `[a,b]` or JSON. With `texts`, 08 is a text; otherwise validation converts numbers."""
    parsed = _parse(raw, None)
    if isinstance(parsed, list) and (not texts or all(isinstance(item, str) for item in parsed)):
        return parsed
    items = raw.strip().removeprefix("[").removesuffix("]").split(",")
    return [item.strip().strip("\"'") for item in items if item.strip()]
