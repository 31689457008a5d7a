"""Components: typed, frozen configurations that can build the object they describe.

Subclassing `Component` registers the class under its name. A field typed with a base class (`imu: ImuEncoder`)
accepts an instance of any registered subclass, or its JSON form `{"type": "DeepConvLSTM", "kernel": 11}`. The open
union over registered subclasses follows facebookresearch/exca.
"""

from __future__ import annotations

import difflib
import inspect
from abc import ABC
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

JsonObject = dict[str, JsonValue]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` if a known name is similar, followed by the list of known names."""
    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    prefixed = [candidate for candidate in folded if len(name) > 1 and candidate.startswith(name.lower())]
    close = prefixed or difflib.get_close_matches(name.lower(), folded, n=1)
    hint = f"; did you mean '{folded[close[0]]}'?" if close else ""
    return f"{hint} (known: {', '.join(names) or 'none'})"


class Config(BaseModel):
    """A frozen set of typed fields. Unknown fields are errors.

    The docstring below a field describes it; see `field_docs`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        polymorphic_serialization=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_fields(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        unknown = [key for key in value if key not in cls.model_fields] if isinstance(value, Mapping) else []
        if not isinstance(value, Mapping) or not unknown:
            return handler(value)
        mistakes = [_unknown_field(str(key), cls.model_fields, value[key]) for key in unknown]
        try:  # the values of the other fields may be wrong, too
            handler({key: item for key, item in value.items() if key not in unknown})
        except ValidationError as error:
            mistakes += [_again(item) for item in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(cls.__name__, mistakes)


def _unknown_field(key: str, known: Iterable[str], value: object) -> InitErrorDetails:
    message = f"unknown field{nearest(key, known)}".replace("{", "{{").replace("}", "}}")
    return InitErrorDetails(type=PydanticCustomError("unknown_field", message), loc=(key,), input=value)


def _again(item: ErrorDetails) -> InitErrorDetails:
    """Convert a reported mistake, to report it together with others."""
    message = item["msg"].replace("{", "{{").replace("}", "}}")
    return InitErrorDetails(type=PydanticCustomError(item["type"], message), loc=item["loc"], input=item["input"])


class Component(Config, ABC):
    """A registered part of an experiment.

    To add one, subclass a base such as `ImuEncoder`, add fields and implement `build`.
    """

    registry: ClassVar[dict[str, type[Component]]] = {}
    """All concrete components by name."""
    defined_in: ClassVar[str] = ""
    """Source file of a concrete component, which Python finds only as long as its module is imported.

    The name of the module if there is no such file.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "type" in cls.model_fields:
            raise TypeError(f"{cls.__qualname__}: 'type' is reserved for the component's name and cannot be a field")
        if inspect.isabstract(cls):
            return
        cls.defined_in = _source_of(cls)
        other = Component.registry.get(cls.__name__)
        if other is not None and other.defined_in != cls.defined_in:  # only the same file, loaded again, may replace it
            raise TypeError(
                f"a component named {cls.__name__} already exists in {other.defined_in}; rename the one in "
                f"{cls.defined_in}"
            )
        Component.registry[cls.__name__] = cls

    @classmethod
    def known(cls) -> dict[str, type[Self]]:
        """Return the registered components that a field of this type accepts, by name."""
        return {name: kind for name, kind in Component.registry.items() if issubclass(kind, cls)}

    @model_validator(mode="wrap")
    @classmethod
    def _dispatch_on_type(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, Component) or not isinstance(value, Mapping):
            if isinstance(value, cls) or not inspect.isabstract(cls):
                return handler(value)
            raise _not_a_component(cls, value)
        kind = value.get("type", None if inspect.isabstract(cls) else cls.__name__)
        known = cls.known()
        if kind is None:
            raise _not_a_component(cls, value)
        if not isinstance(kind, str) or kind not in known:
            raise _unknown_component(cls, str(kind))
        fields = {key: item for key, item in value.items() if key != "type"}
        return handler(fields) if known[kind] is cls else known[kind].model_validate(fields)

    @model_serializer(mode="wrap")
    def _name_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": type(self).__name__, **handler(self)}


def _source_of(kind: type[Component]) -> str:
    """Return the source file of a class, or the name of its module if it was defined in a notebook or a prompt."""
    try:
        return inspect.getsourcefile(kind) or kind.__module__
    except (OSError, TypeError):
        return kind.__module__


def _not_a_component(base: type[Component], value: object) -> PydanticCustomError:
    known = ", ".join(sorted(base.known()))
    return PydanticCustomError(
        "not_a_component",
        "{value} is not a component of type {base}; pass one, or a JSON object whose 'type' is one of: {known}",
        {"base": base.__name__, "value": repr(value), "known": known},
    )


def _unknown_component(base: type[Component], name: str) -> PydanticCustomError:
    return PydanticCustomError(
        "unknown_component",
        "unknown {base} '{name}'{known}",
        {"base": base.__name__, "name": name, "known": nearest(name, base.known())},
    )


_NEEDS_NO_VALUE = ("unknown_component", "unknown_field", "not_a_component", "value_error", "missing")
"""Error types whose message is complete without the given value."""


def describe(error: ValidationError) -> str:
    """Format a validation error, one line per mistake: dotted path, what is wrong, the given value."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"] if not _names_a_choice(part))
        message = item["msg"].removeprefix("Value error, ")
        shown = item["type"] not in _NEEDS_NO_VALUE
        given = f" (got {item['input']!r})" if shown else ""
        lines.append(f"{path}: {message}{given}" if path else f"{message}{given}")
    return "\n".join(lines)


def _names_a_choice(part: int | str) -> bool:
    """Return whether a part of a path is pydantic's name for a member of a union, such as `literal['auto']`."""
    return isinstance(part, str) and not part.isidentifier()
