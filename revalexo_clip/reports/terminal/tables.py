"""Dry runs, problems of a dataset, experiments and components in a terminal."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from pydantic import JsonValue
from pydantic_core import PydanticUndefined, to_jsonable_python
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from revalexo_clip.core.component import Component, Config, JsonObject
from revalexo_clip.core.field_docs import field_docs
from revalexo_clip.data.revalexo.check import KINDS, Problem
from revalexo_clip.data.revalexo.check.shared import PlacedClip

_MOST_RECORDINGS = 20


def dry_run_table(
    name: str, parameters: Mapping[str, int], shapes: Mapping[str, Sequence[int]], facts: Mapping[str, str]
) -> Table:
    """Return the table of a dry run: parameters, shapes of a batch, and the rest as text."""
    table = Table(
        title=f"Dry run of {name}", title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False
    )
    table.add_column(style="dim", overflow="fold")
    table.add_column(justify="right", overflow="fold")
    for part, count in parameters.items():
        table.add_row(f"{part}, parameters", f"{count:,}")
    table.add_section()
    for part, shape in shapes.items():
        table.add_row(f"{part} batch", " x ".join(map(str, shape)))
    table.add_section()
    for fact, value in facts.items():
        table.add_row(fact, value)
    return table


def problem_table(problems: Sequence[Problem]) -> Table:
    """Return a table of problems by kind and file. `problems` are sorted by kind."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold", ratio=2)
    table.add_column("problem", overflow="fold", ratio=3)
    for kind, group in groupby(problems, key=lambda problem: problem.kind):
        of_kind = list(group)
        severity, meaning = KINDS[kind]
        style = "bold red" if severity == "error" else "bold yellow"
        table.add_section()
        table.add_row(Text(f"{severity}: {kind} ({len(of_kind)})", style), Text(meaning, "dim"))
        for problem in of_kind:
            table.add_row(Text(str(problem.file)), Text(problem.message))
    return table


def recording_table(recordings: Sequence[Sequence[PlacedClip]]) -> Table:
    """Return a table of the recordings that more than one clip was cut from: at most `_MOST_RECORDINGS` lines."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("recording from", "clips", "length [s]", "starts at [s]", "shared [s]"):
        text = column in ("recording from", "starts at [s]")
        table.add_column(column, justify="left" if text else "right", overflow="fold")
    several = [clips for clips in recordings if len(clips) > 1]
    for clips in several[:_MOST_RECORDINGS]:
        starts = [f"{clip.offset:g}" for clip in clips]
        shown = starts if len(starts) <= 4 else [*starts[:3], "...", starts[-1]]
        length = max(clip.offset + clip.duration for clip in clips) - clips[0].offset
        table.add_row(
            Text(clips[0].name),
            str(len(clips)),
            f"{length:.1f}",
            ", ".join(shown),
            f"{sum(clip.shared for clip in clips):.1f}",
        )
    if len(several) > _MOST_RECORDINGS:
        table.add_row(Text(f"and {len(several) - _MOST_RECORDINGS} more", "dim"))
    return table


def config_tree(title: str, dumped: JsonObject) -> Tree:
    """Return a resolved experiment as a tree."""
    tree = Tree(Text(title, style="bold"))
    _grow(tree, dumped)
    return tree


def _grow(tree: Tree, value: JsonObject) -> None:
    for key, item in value.items():
        if key == "type":
            continue
        if isinstance(item, dict) and item:
            kind = str(item.get("type", ""))
            _grow(tree.add(Text.assemble(key, " ", (kind, "cyan"))), item)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            branch = tree.add(key)
            for element in item:
                if isinstance(element, dict):
                    _grow(branch.add(Text(str(element.get("type", "")), style="cyan")), element)
        else:
            tree.add(Text.assemble(key, " ", (_scalar(item), "green")))


def _scalar(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(map(_scalar, value)) or "none"
    if value is None or value == {}:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def component_list(bases: Iterable[type[Component]]) -> Iterable[RenderableType]:
    """Yield the registered components of each kind, with the defaults and descriptions of their fields."""
    for base in bases:
        yield Text.assemble((base.__name__, "bold"), "  ", (_first_line(base), "dim"))
        for name, kind in sorted(base.known().items()):
            heading = Text.assemble((name, "cyan"), "  ", _first_line(kind))
            yield Padding(Group(heading, _field_table(kind)), (0, 0, 1, 2))


def _first_line(kind: type[Config]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _field_table(kind: type[Config]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=True)
    table.add_column(overflow="fold")
    table.add_column(style="green", max_width=20, overflow="fold")
    table.add_column(style="dim", overflow="fold")
    docs = field_docs(kind)
    for name, info in kind.model_fields.items():
        default = "required" if info.default is PydanticUndefined else _scalar(to_jsonable_python(info.default))
        meaning = " ".join(docs.get(name, "").split())
        table.add_row(Text(f"  {name}"), Text(default), Text(meaning))
    return table
