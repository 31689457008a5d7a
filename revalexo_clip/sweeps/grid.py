"""The grid of a sweep: fields with several values, and the experiments of all their combinations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue, ValidationError

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import apply_overrides
from revalexo_clip.core.component import Component, JsonObject, describe
from revalexo_clip.core.errors import ConfigError

_ALONE = {
    "seed": "the seeds of a sweep are consecutive: --set seed=FIRST --seeds N",
    "name": "all trials of a sweep have the same name",
}
"""Fields that cannot be swept, and why."""


@dataclass(frozen=True)
class Grid:
    """The fields of a sweep."""

    values: Mapping[str, tuple[str, ...]]
    """By dotted path, the values of the fields that have several, as text."""
    fixed: tuple[str, ...]
    """`path=value` of all other fields that are set."""

    def combinations(self) -> Iterator[dict[str, str]]:
        """Yield every combination of values, by dotted path; the values of the last field change first."""
        for values in product(*self.values.values()):
            yield dict(zip(self.values, values, strict=True))


@dataclass(frozen=True)
class Setting:
    """One combination of the values of a grid."""

    number: int
    """Counted from 1."""
    values: Mapping[str, str]
    """By dotted path, as text."""
    experiment: Experiment

    @property
    def title(self) -> str:
        """The values as text: `optim.lr=1e-3 imu.type=ResNet1D`."""
        return " ".join(f"{path}={value}" for path, value in self.values.items())


def read_grid(experiment: Experiment, texts: Sequence[str]) -> Grid:
    """Read `path=value` and `path=value,value` texts.

    Commas separate values, except inside brackets, braces and double quotes. A field that holds a list needs a list of
    lists, `path=[[a,b],[c]]`, for several values; `path=[a,b]` is one. Raises `ConfigError` if a text is ambiguous, has
    an empty value, or sets a field for the second time.
    """
    pairs = [_split(text) for text in texts]
    paths = [path for path, _ in pairs]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise ConfigError(f"--set {twice}: given twice; write all values after one --set, as {twice}=A,B")
    dumped = experiment.model_dump(mode="json")
    types = [[f"{path}={name}" for name in _items(path, raw)] for path, raw in pairs if _is_type(path)]
    forms = [apply_overrides(dumped, switched) for switched in product(*types)]
    found = {
        path: _values(path, raw, lists=any(holds_list(type(experiment), form, path.split(".")) for form in forms))
        for path, raw in pairs
    }
    several = {path: values for path, values in found.items() if len(values) > 1}
    for path in several:
        if path in _ALONE:
            raise ConfigError(f"--set {path}: {_ALONE[path]}")
    return Grid(several, tuple(f"{path}={values[0]}" for path, values in found.items() if path not in several))


def make_settings(experiment: Experiment, grid: Grid) -> list[Setting]:
    """Return the settings of a grid: the experiments that `--set` with these values makes, one by one.

    Raises `ConfigError`, naming the setting, if an experiment is invalid or in folds, or if two are the same.
    """
    settings: list[Setting] = []
    for number, values in enumerate(grid.combinations(), 1):
        overrides = [*grid.fixed, *(f"{path}={value}" for path, value in values.items())]
        made = Setting(number, values, _override(experiment, overrides, values))
        if isinstance(made.experiment, FinetuneExperiment) and made.experiment.folds is not None:
            raise ConfigError(
                "folds: the trials of a sweep are single trainings; --set folds=none --set data.test_subjects=NAME,..."
            )
        for other in settings:
            if other.experiment == made.experiment:
                raise ConfigError(f"--set: {other.title} and {made.title} are the same experiment; leave one out")
        settings.append(made)
    return settings


def _override(experiment: Experiment, overrides: Sequence[str], values: Mapping[str, str]) -> Experiment:
    at = " ".join(f"{path}={value}" for path, value in values.items())
    try:
        return type(experiment).model_validate(apply_overrides(experiment.model_dump(mode="json"), overrides))
    except ConfigError as error:
        raise ConfigError(f"{at}: {error}" if at else str(error)) from error
    except ValidationError as error:
        raise ConfigError(f"{at}:\n{describe(error)}" if at else describe(error)) from error


def _split(text: str) -> tuple[str, str]:
    path, equals, raw = text.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"--set {text}: write it as path=value or path=value,value, e.g. --set optim.lr=1e-3,3e-4")
    return path, raw


def _is_type(path: str) -> bool:
    return path.rpartition(".")[2] == "type"


def _values(path: str, raw: str, *, lists: bool) -> tuple[str, ...]:
    """Return the values in a text; `lists` says whether the field holds a list."""
    text = raw.strip()
    if not lists:
        return _items(path, raw)
    if text.startswith("[[") and text.endswith("]]"):
        return _items(path, text[1:-1])
    if not text.startswith("[") and len(split_outside(raw)) > 1:
        raise ConfigError(
            f"--set {path}={raw}: ambiguous, because {path} holds a list; write [{raw}] for one list, or "
            f"[[{raw.replace(',', '],[')}]] for several"
        )
    return (raw,)


def _items(path: str, raw: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in split_outside(raw))
    if len(items) > 1 and not all(items):
        raise ConfigError(f"--set {path}={raw}: a value between commas is empty")
    return items if len(items) > 1 else (raw,)


def split_outside(text: str) -> list[str]:
    """Split a text at the commas that are outside of brackets, braces and double quotes."""
    items, depth, quoted, escaped = [""], 0, False, False
    for character in text:
        if character == "," and depth == 0 and not quoted:
            items.append("")
            continue
        items[-1] += character
        if character == '"' and not escaped:
            quoted = not quoted
        elif not quoted:
            depth += (character in "[{") - (character in "]}")
        escaped = character == "\\" and not escaped
    return items


def holds_list(kind: type[BaseModel], dumped: JsonObject, path: Sequence[str]) -> bool:
    """Return whether the field at a path of an experiment, given as JSON, holds a list.

    Its value need not be one, e.g. if it is null. False if there is no such field.
    """
    owner: type[BaseModel] | None = kind
    value: JsonValue = dumped
    annotation: object = None
    for key in path:
        if isinstance(value, dict):
            owner = Component.registry.get(str(value.get("type")), owner)
            field = None if owner is None else owner.model_fields.get(key)
            annotation = None if field is None else field.annotation
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            annotation, value = None, value[int(key)]
        else:
            return False
        owner = _model_in(annotation)
    return isinstance(value, list) or any(get_origin(leaf) in _LISTS for leaf in _leaves(annotation))


_LISTS: Collection[object] = (tuple, list, set, frozenset)


def _leaves(annotation: object) -> Iterator[object]:
    """Yield the members of unions in an annotation."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _leaves(part)
    elif origin is Annotated:
        yield from _leaves(get_args(annotation)[0])
    else:
        yield annotation


def _model_in(annotation: object) -> type[BaseModel] | None:
    for leaf in _leaves(annotation):
        if isinstance(leaf, type) and get_origin(leaf) is None and issubclass(leaf, BaseModel):
            return leaf
    return None
