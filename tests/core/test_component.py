from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import PositiveInt, ValidationError

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.config.pretraining import COMPONENT_KINDS, PretrainExperiment
from revalexo_clip.core.component import Component, Config, describe, nearest
from revalexo_clip.core.field_docs import field_docs


class Shape(Component, ABC):
    """A base component."""

    @abstractmethod
    def build(self) -> float:
        """Area."""


class Square(Shape):
    side: PositiveInt = 1
    """Length of
    a side."""

    def build(self) -> float:
        return float(self.side**2)


class Circle(Shape):
    radius: float
    """Distance from the centre to the edge."""
    label: str | None = None

    def build(self) -> float:
        return 3.0 * self.radius**2


class BigSquare(Square):
    side: PositiveInt = 100


class Drawing(Component):
    title: str = "untitled"
    main: Shape = Square()
    others: tuple[Shape, ...] = ()
    named: dict[str, Shape] | None = None


def problem(kind: type[Config], value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(value)
    return describe(caught.value)


def test_unknown_fields_hide_no_other_mistake() -> None:
    circle = {"type": "Circle", "radius": "wide {x}", "labl": 1}
    found = problem(Drawing, {"titel": 3, "title": 4, "main": circle, "others": [{"type": "Square", "side": 0}]})
    assert found.splitlines() == [
        "titel: unknown field; did you mean 'title'? (known: main, named, others, title)",
        "title: Input should be a valid string (got 4)",
        "main.labl: unknown field; did you mean 'label'? (known: label, radius)",
        "main.radius: Input should be a valid number, unable to parse string as a number (got 'wide {x}')",
        "others.0.side: Input should be greater than 0 (got 0)",
    ]


def test_a_subclass_is_registered_under_its_name_and_an_abstract_base_is_not() -> None:
    assert Component.registry["Circle"] is Circle
    assert "Shape" not in Component.registry
    assert Shape.known() == {"Square": Square, "Circle": Circle, "BigSquare": BigSquare}


def test_a_field_takes_any_registered_subclass_by_type_also_in_lists_and_mappings() -> None:
    drawing = Drawing.model_validate(
        {
            "main": {"type": "Circle", "radius": 2},
            "others": [{"type": "Square"}, {"type": "BigSquare", "side": 7}, Circle(radius=1)],
            "named": {"a": {"type": "Circle", "radius": 3}},
        }
    )
    assert drawing.main == Circle(radius=2)
    assert drawing.others == (Square(), BigSquare(side=7), Circle(radius=1))
    assert type(drawing.others[1]) is BigSquare
    assert drawing.named == {"a": Circle(radius=3)}


def test_json_keeps_the_fields_of_subclasses_and_gives_an_equal_component_back() -> None:
    others = (Circle(radius=0.1, label="o"), Square())
    drawing = Drawing(main=BigSquare(side=3), others=others, named={"x": BigSquare()})
    dumped = drawing.model_dump(mode="json")
    assert dumped["type"] == "Drawing"
    assert dumped["main"] == {"type": "BigSquare", "side": 3}
    assert dumped["others"][0] == {"type": "Circle", "radius": 0.1, "label": "o"}
    again = Drawing.model_validate_json(drawing.model_dump_json())
    assert again == drawing
    assert type(again.main) is BigSquare


def test_a_concrete_class_needs_no_type_and_an_abstract_one_does() -> None:
    assert Square.model_validate({"side": 2}) == Square(side=2)
    assert Square.model_validate({"type": "BigSquare"}) == BigSquare()
    assert "a JSON object whose 'type' is one of: BigSquare, Circle, Square" in problem(Drawing, {"main": {"side": 2}})


def test_an_unknown_type_names_the_nearest_and_all_known_ones() -> None:
    assert problem(Drawing, {"main": {"type": "Sqare"}}) == (
        "main: unknown Shape 'Sqare'; did you mean 'Square'? (known: BigSquare, Circle, Square)"
    )


def test_a_component_of_another_type_is_refused() -> None:
    assert problem(Drawing, {"main": {"type": "Drawing"}}).startswith("main: unknown Shape 'Drawing' (known: ")
    assert "main: Drawing(" in problem(Drawing, {"main": Drawing()})
    assert "main: 'Square' is not a component of type Shape" in problem(Drawing, {"main": "Square"})


def test_an_unknown_field_names_its_dotted_path_and_the_nearest_field() -> None:
    assert problem(Drawing, {"others": [{"type": "Square", "sid": 2}]}) == (
        "others.0.sid: unknown field; did you mean 'side'? (known: side)"
    )
    assert problem(Drawing, {"tile": "x", "zzz": 1}) == (
        "tile: unknown field; did you mean 'title'? (known: main, named, others, title)\n"
        "zzz: unknown field (known: main, named, others, title)"
    )


def test_an_error_names_the_path_and_the_given_value() -> None:
    assert problem(Drawing, {"main": {"type": "Square", "side": "long"}}) == (
        "main.side: Input should be a valid integer, unable to parse string as an integer (got 'long')"
    )
    assert problem(Drawing, {"main": {"type": "Circle"}}) == "main.radius: Field required"
    assert "radius: Input should be a finite number" in problem(Circle, {"radius": float("nan")})


def test_braces_in_a_field_name_are_shown_in_the_message() -> None:
    assert "unknown field" in problem(Square, {"{side}": 1})


def test_every_mistake_is_reported_at_once() -> None:
    assert len(problem(TrainerConfig, {"max_epochs": 0, "precision": "8", "num_nodes": "x"}).splitlines()) == 3


def test_a_choice_of_types_is_reported_under_the_path_of_its_field() -> None:
    paths = {line.partition(":")[0] for line in problem(TrainerConfig, {"devices": 0}).splitlines()}
    assert paths == {"devices"}


def test_components_are_frozen_and_hashable() -> None:
    square = Square(side=2)
    with pytest.raises(ValidationError, match="frozen"):
        square.side = 3  # type: ignore[misc]
    assert hash(square) == hash(Square(side=2))


def test_an_invalid_default_is_an_error_too() -> None:
    class Wrong(Shape):
        side: PositiveInt = -1

        def build(self) -> float:
            return 0.0

    assert "side: Input should be greater than 0 (got -1)" in problem(Wrong, {})
    del Component.registry["Wrong"]


def test_a_field_may_not_be_called_type() -> None:
    with pytest.raises(TypeError, match=r"Kind: 'type' is reserved for the component's name and cannot be a field"):

        class Kind(Component):
            type: str = "x"


def test_a_component_without_build_cannot_be_created() -> None:
    class Unbuilt(Shape):
        side: int = 1

    assert "Unbuilt" not in Component.registry
    with pytest.raises(TypeError, match="abstract method"):
        Unbuilt()  # type: ignore[abstract]


def load(path: Path, text: str) -> ModuleType:
    path.parent.mkdir(exist_ok=True)
    path.write_text("from revalexo_clip import Component\n" + text)
    return import_experiment_file(path)


def test_a_name_defined_in_two_files_is_refused_and_both_files_are_named(tmp_path: Path) -> None:
    load(tmp_path / "a.py", "class Twice(Component):\n    x: int = 1\n")
    for other in (tmp_path / "b.py", tmp_path / "folder" / "a.py"):
        with pytest.raises(Exception, match="a component named Twice already exists") as caught:
            load(other, "class Twice(Component):\n    x: int = 2\n")
        assert str(tmp_path / "a.py") in str(caught.value)
        assert f"the one in {other}" in str(caught.value)
    assert Component.registry["Twice"].model_fields["x"].default == 1


def test_a_file_that_is_loaded_again_replaces_its_components(tmp_path: Path) -> None:
    load(tmp_path / "c.py", "class Again(Component):\n    x: int = 1\n")
    # Of another length: Python keeps compiled files by length and second
    load(tmp_path / "c.py", "class Again(Component):\n    x: int = 20\n")
    assert Component.registry["Again"].model_fields["x"].default == 20


def test_a_component_of_the_library_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="a component named DeepConvLSTM already exists"):
        load(tmp_path / "d.py", "class DeepConvLSTM(Component):\n    x: int = 1\n")


def test_the_docstring_under_a_field_is_its_description() -> None:
    assert field_docs(Square) == {"side": "Length of\na side."}


def test_a_field_of_a_base_keeps_its_description_unless_it_has_one_of_its_own(tmp_path: Path) -> None:
    load(
        tmp_path / "described.py",
        'class Base(Component):\n    x: int = 1\n    """Of the base."""\n    y: int = 2\n    """The same."""\n'
        "    z: int = 3\n"
        'class Derived(Base):\n    x: int = 4\n    """Its own."""\n',
    )
    assert field_docs(Component.registry["Derived"]) == {"x": "Its own.", "y": "The same."}


TYPED = """
from revalexo_clip import ImuAugmentation
from revalexo_clip.core.field_docs import field_docs

class Typed(ImuAugmentation):
    x: int = 1
    '''Not found.'''
    def sample(self, rng, spec): ...
    def apply(self, imu_BLC, drawn): ...

class Typed(Typed):
    x: int = 2

print(Typed(), Typed.defined_in, field_docs(Typed))
"""


def test_a_component_may_be_defined_where_there_is_no_file_and_be_replaced_there() -> None:
    said = subprocess.run([sys.executable, "-c", TYPED], capture_output=True, text=True, check=False)
    assert (said.stdout, said.stderr) == ("x=2 __main__ {}\n", "")


@pytest.mark.parametrize(
    "kind",
    [PretrainExperiment, TrainerConfig, *(kind for base in COMPONENT_KINDS for kind in base.known().values())],
    ids=lambda kind: str(kind.__name__),
)
def test_every_field_and_every_component_of_the_library_is_described(kind: type[Config]) -> None:
    if not kind.__module__.startswith("revalexo_clip."):
        pytest.skip("not of the library")
    assert kind.__doc__
    docs = field_docs(kind)
    undescribed = [name for name in kind.model_fields if not docs.get(name, "").strip()]
    assert undescribed == []


def test_names_are_matched_regardless_of_case() -> None:
    assert nearest("deepconvlstm", ["DeepConvLSTM", "TCN"]).startswith("; did you mean 'DeepConvLSTM'?")
    assert nearest("zzz", []) == " (known: none)"
