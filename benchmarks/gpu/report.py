"""Sections of the report: tables for the terminal, for a Markdown file and for a JSON file."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass
class Section:
    """A table with its title, a sentence of explanation, and what failed."""

    title: str
    note: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What is wrong, in words; empty if all is well."""

    def markdown(self) -> str:
        """Return the section as Markdown."""
        lines = [" | ".join(cells) for cells in (self.columns, ["---"] * len(self.columns), *self.rows)]
        table = "\n".join(f"| {line} |" for line in lines)
        failed = "".join(f"\n- **FAILED**: {failure}" for failure in self.failures)
        return f"## {self.title}\n\n{self.note}\n\n{table}\n{failed}"

    def show(self, console: Console) -> None:
        """Print the section to a terminal."""
        table = Table(*map(escape, self.columns), box=box.SIMPLE_HEAD, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*map(escape, row))
        console.print(table, self.note, style=None)
        for failure in self.failures:
            console.print(f"FAILED: {escape(failure)}", style="bold red")
        console.print()


def heading(device: torch.device, quick: bool) -> dict[str, str]:
    """Return what the results depend on: the GPU, the versions, the date."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none (CPU)"
    return {
        "GPU": gpu,
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "Python": platform.python_version(),
        "date": date.today().isoformat(),
        "sizes": "tiny (--quick): times mean nothing" if quick else "full",
    }


def write(sections: Sequence[Section], about: dict[str, str], markdown: Path, as_json: Path | None) -> None:
    """Write the Markdown file, and the JSON file if there is to be one."""
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    text = "\n\n".join(["# GPU benchmark", facts, *(section.markdown() for section in sections)])
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(text + "\n", encoding="utf-8")
    if as_json is not None:
        as_json.parent.mkdir(parents=True, exist_ok=True)
        content = {"about": about, "sections": [asdict(section) for section in sections]}
        as_json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
