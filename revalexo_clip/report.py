"""What results look like in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue
from pydantic_core import PydanticUndefined
from rich import box
from rich.table import Table
from rich.tree import Tree

from revalexo_clip.component import Component, Config, JsonObject

_FIGURES = (("r_at_1", "R@1"), ("r_at_5", "R@5"), ("r_at_10", "R@10"), ("mrr", "MRR"), ("median_rank", "median rank"))
_DIRECTIONS = (("imu_to_video", "IMU → video"), ("video_to_imu", "video → IMU"))


def retrieval_table(metrics: JsonObject) -> Table:
    """Both directions and chance, then every subject."""
    retrieval = _object(metrics["retrieval"])
    table = Table(
        title=f"Retrieval among {retrieval['gallery_size']} windows of {metrics['clips']} clips",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("")
    table.add_column("windows", justify="right")
    for _, title in _FIGURES:
        table.add_column(title, justify="right")
    for direction, title in _DIRECTIONS:
        table.add_row(title, str(metrics["windows"]), *_row(_object(retrieval[direction])))
    table.add_row("chance", "", *_row(_object(retrieval["chance"])), style="dim")
    subjects = _object(metrics["subjects"])
    if len(subjects) > 1:
        for subject, figures in subjects.items():
            table.add_section()
            for direction, title in _DIRECTIONS:
                values = _object(figures)
                table.add_row(f"{subject}  {title}", str(values["windows"]), *_row(_object(values[direction])))
    return table


def _row(figures: JsonObject) -> list[str]:
    shown = []
    for name, _ in _FIGURES:
        value = float(str(figures[name]))
        shown.append(f"{100 * value:.1f}%" if name.startswith("r_at") else f"{value:.3g}")
    return shown


def _object(value: JsonValue) -> JsonObject:
    assert isinstance(value, dict)
    return value


def seen_warning(metrics: JsonObject) -> str | None:
    """What to say where the evaluated subjects have had a part in the training."""
    seen = _object(metrics["seen"])
    uses = {"train": "trained on", "val": "selected on"}
    told = [f"{verb} {', '.join(map(str, names))}" for use, verb in uses.items() if (names := _list(seen.get(use)))]
    return f"not unseen: this checkpoint was {' and '.join(told)}" if told else None


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def dry_run_table(
    name: str, parameters: Mapping[str, int], shapes: Mapping[str, Sequence[int]], facts: Mapping[str, str]
) -> Table:
    """What a run would be: parameters, shapes of a batch, and the rest as text."""
    table = Table(
        title=f"Dry run of {name}", title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False
    )
    table.add_column(style="dim")
    table.add_column(justify="right")
    for part, count in parameters.items():
        table.add_row(f"{part}, parameters", f"{count:,}")
    table.add_section()
    for part, shape in shapes.items():
        table.add_row(f"{part} batch", " x ".join(map(str, shape)))
    table.add_section()
    for fact, value in facts.items():
        table.add_row(fact, value)
    return table


def config_tree(title: str, dumped: JsonObject) -> Tree:
    """A resolved experiment as a tree."""
    tree = Tree(f"[bold]{title}[/bold]")
    _grow(tree, dumped)
    return tree


def _grow(tree: Tree, value: JsonObject) -> None:
    for key, item in value.items():
        if key == "type":
            continue
        if isinstance(item, dict):
            kind = f" [cyan]{item['type']}[/cyan]" if "type" in item else ""
            _grow(tree.add(f"{key}{kind}"), item)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            branch = tree.add(key)
            for element in item:
                if isinstance(element, dict):
                    _grow(branch.add(f"[cyan]{element.get('type', '')}[/cyan]"), element)
        else:
            tree.add(f"{key} [green]{_scalar(item)}[/green]", highlight=False)


def _scalar(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(map(_scalar, value)) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def component_tables(bases: Iterable[type[Component]]) -> Iterable[Table]:
    """For each kind of component, a table of those registered, their fields, defaults and meanings."""
    for base in bases:
        table = Table(title=base.__name__, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column in ("component", "field", "default", "meaning"):
            table.add_column(column)
        for name, kind in sorted(base.known().items()):
            for index, (field, default, meaning) in enumerate(_fields(kind) or [("", "", "")]):
                table.add_row(name if index == 0 else "", field, default, meaning)
            table.add_section()
        yield table


def _fields(kind: type[Config]) -> list[tuple[str, str, str]]:
    return [
        (
            name,
            "required" if info.default is PydanticUndefined else str(info.default),
            " ".join((info.description or "").split()),
        )
        for name, info in kind.model_fields.items()
    ]
