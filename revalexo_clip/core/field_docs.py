"""Descriptions of the fields of configurations: the docstring below a field, read from the source when it is asked for.

pydantic can do so when a class is defined (`use_attribute_docstrings`). Reading the source of every class would be half
of what this package's import costs, in each process of a training, and only `rxclip components` shows descriptions.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise

from revalexo_clip.core.component import Config


def field_docs(kind: type[Config]) -> dict[str, str]:
    """Return the descriptions of the fields of a class and its bases, by name.

    A field without a docstring is left out, as are fields of a class whose source cannot be read.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Config):
            found |= _of_class(base)
    return {name: text for name, text in found.items() if name in kind.model_fields}


def _of_class(kind: type[Config]) -> dict[str, str]:
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # defined in an interactive session
        return {}
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            if isinstance(text, str):
                found[field.target.id] = inspect.cleandoc(text)
    return found
