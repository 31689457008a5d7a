"""Pages of the site that are made from the code: the reference, the commands, and files that lie outside of docs/.

mkdocs calls the functions whose names start with `on_`; see `mkdocs.yml`. The build fails if a public name, or a field
of one, has no description.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.testing import CliRunner

import revalexo_clip
from revalexo_clip.cli.app import app

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "ATTRIBUTION.md": "attribution.md",
    "SECURITY.md": "security.md",
    "CITATION.cff": "citation.md",
}
"""Files of the repository that become pages, because pages link to them."""
ROOMS = {
    "augment": "Augmentation",
    "config": "Experiments",
    "core": "Components, windows and errors",
    "data": "Datasets and batches",
    "evaluation": "Evaluation",
    "export": "Exported encoders and classifiers",
    "finetuning": "Finetuning",
    "losses": "Losses",
    "models": "Encoders",
    "optim": "Optimizers",
    "pretraining": "Pretraining",
    "sweeps": "Sweeps",
    "sync": "In time",
}
"""Titles of the reference's pages; a page has the public names of a room."""
log = logging.getLogger("mkdocs.hooks")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    made = {f"reference/{room}.md": text for room, text in reference().items()}
    made["reference/commands.md"] = commands()
    made |= {page: outside(ROOT / name) for name, page in OUTSIDE.items()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the pages that are made from these files."""
    for name, target in OUTSIDE.items():
        depth = len(PurePosixPath(page.file.src_uri).parents)
        markdown = markdown.replace(f"]({'../' * depth}{name}", f"]({'../' * (depth - 1)}{target}")
    return markdown


def outside(path: Path) -> str:
    """Return a file of the repository's top folder as a page of docs/."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        return f"# {path.stem.capitalize()}\n\n```yaml\n{text}```\n"
    for name, target in OUTSIDE.items():
        text = text.replace(f"]({name}", f"]({target}")
    return text.replace("](docs/", "](").replace('src="docs/', 'src="')


def public_names() -> dict[str, list[tuple[str, str]]]:
    """Return the public names by room, each with the module it is imported from, in the order of `__init__.pyi`."""
    tree = ast.parse(Path(revalexo_clip.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module
            names = (name.name for name in node.names if name.name != "__version__")
            found[node.module.partition(".")[0]] += [(name, f"revalexo_clip.{node.module}") for name in names]
    return found


def reference() -> dict[str, str]:
    """Return the page of each room with public names."""
    pages = {}
    for room, names in public_names().items():
        lines = [
            f"# {ROOMS[room]}",
            "",
            f"Import these names from `revalexo_clip`; they are defined in its `{room}`.",
            "",
        ]
        for name, module in names:
            of = getattr(revalexo_clip, name)
            defined = of.__module__ if inspect.isclass(of) or inspect.isfunction(of) else module
            check_described(defined, name)
            lines += [f"::: {defined}.{name}", ""]
        pages[room] = "\n".join(lines)
    return pages


def check_described(module: str, name: str) -> None:
    """Warn, which fails a strict build, of a name without description, or a field of a class without one."""
    path = inspect.getsourcefile(importlib.import_module(module))
    assert path
    body = ast.parse(Path(path).read_text(encoding="utf-8")).body
    for node, after in followed(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            if not ast.get_docstring(node):
                log.warning("%s.%s has no description", module, name)
            if isinstance(node, ast.ClassDef):
                check_fields(node, f"{module}.{name}", getattr(revalexo_clip, name))
            return
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in assigned(node):
            if not is_text(after):
                log.warning("%s.%s has no description", module, name)
            return
    raise LookupError(f"{module} does not define {name}")


def check_fields(node: ast.ClassDef, path: str, of: type) -> None:
    """Warn of public fields without description; one that a base class has too is described there."""
    inherited = {name for base in of.__mro__[1:] for name in getattr(base, "__annotations__", {})}
    for field, after in followed(node.body):
        if isinstance(field, ast.AnnAssign):
            for name in assigned(field):
                if not name.startswith("_") and name not in inherited and not is_text(after):
                    log.warning("%s.%s has no description", path, name)


def followed(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    """Yield each statement with the one after it."""
    return zip(body, [*body[1:], None], strict=True)


def assigned(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """Return the names that a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def is_text(node: ast.stmt | None) -> bool:
    """Tell whether a statement is a description: a string alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def commands() -> str:
    """Return the page of all commands: their help texts."""
    runner = CliRunner()
    lines = ["# Commands", "", "What `rxclip COMMAND --help` prints.", ""]
    for command in app.registered_commands:
        assert command.callback
        name = command.name or command.callback.__name__.replace("_", "-")
        if command.hidden:
            continue
        said = runner.invoke(app, [name, "--help"], env={"COLUMNS": "100"}, prog_name="rxclip")
        assert said.exit_code == 0, said.output
        lines += [f"## rxclip {name}", "", "```text", said.stdout.strip(), "```", ""]
    return "\n".join(lines)
