"""Run the GPU benchmark: `python -m benchmarks.gpu [--device cuda|cpu] [--quick] [--only SECTION ...] [--json FILE]`.

Prints tables and writes them to a Markdown file with the name of the GPU, torch's version and the date. Exit code 1 if
a limit was not kept.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.gpu.parity import encoders_section
from benchmarks.gpu.parity_cases import cases
from benchmarks.gpu.parity_losses import losses_section
from benchmarks.gpu.profiled import profile_sections
from benchmarks.gpu.report import Section, heading, write
from benchmarks.gpu.runs import make_data, resumed_section, waiting_section
from benchmarks.gpu.steps import forms_section, largest_section, steps_section
from revalexo_clip.core.errors import UserError

SECTIONS = ("parity", "resumed", "steps", "forms", "runs", "largest", "profile")


def main() -> None:
    """Parse the command line, run the sections, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Everything to know of a GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="Where to compute.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, to see that everything runs.")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS, help="Sections to run.")
    parser.add_argument("--markdown", type=Path, default=Path("runs/gpu.md"), help="Markdown file to write.")
    parser.add_argument("--json", type=Path, help="JSON file to write.")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device was found; --device cpu --quick shows that the benchmark works")
    device = torch.device(given.device, 0) if given.device == "cuda" else torch.device("cpu")
    warnings.filterwarnings("ignore", module=r"lightning|pytorchvideo|torch")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    console = Console(width=150)
    about = heading(device, given.quick)
    for name, value in about.items():
        console.print(f"{name}: {value}", style="dim")
    sections = run(given, device, about, console)
    console.print(f"written to {given.markdown}")
    sys.exit(any(section.failures for section in sections))


def run(given: argparse.Namespace, device: torch.device, about: dict[str, str], console: Console) -> list[Section]:
    """Run sections in their order, and print and write each as soon as it is complete.

    A section that fails is reported, so that the others still run on a machine that is lent for a short time.
    """
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in SECTIONS:
            if name not in given.only:
                continue
            begun = time.monotonic()
            try:
                found = _made(name, Path(folder), device, given.quick)
            except (RuntimeError, OSError, UserError, subprocess.SubprocessError) as error:
                failure = f"{type(error).__name__}: {error}"
                found = [Section(name, "This section did not finish.", [], failures=[failure])]
            for section in found:
                section.show(console)
            console.print(f"{name}: {time.monotonic() - begun:.0f} s", style="dim")
            sections += found
            write(sections, about, given.markdown, given.json)
    return sections


def _made(name: str, folder: Path, device: torch.device, quick: bool) -> list[Section]:
    if name == "parity":
        return [encoders_section(cases(quick), device), losses_section(device, quick)]
    on_device: dict[str, Callable[[torch.device, bool], Section]] = {
        "steps": steps_section,
        "forms": forms_section,
        "largest": largest_section,
    }
    if name in on_device:
        return [on_device[name](device, quick)]
    data = folder / "data"
    if not data.exists():
        make_data(folder, quick)
    if name == "resumed":
        return [resumed_section(folder, data, device.type, quick)]
    if name == "runs":
        return [waiting_section(folder, data, device.type, quick)]
    return profile_sections(folder, data, device, quick)


if __name__ == "__main__":
    main()
