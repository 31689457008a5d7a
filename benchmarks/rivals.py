"""The recommended recipe beside the objectives and encoders of IMU2CLIP, PRIMUS and COMODO, over several seeds.

    make rivals                                   # worlds 1 and 2, three seeds: an hour and a half on one core
    python -m benchmarks.rivals --worlds 2 --seeds 0 1 2 --only motion comodo

Data, people, budget and evaluation are those of `make ablation`; see docs/rivals.md. Results are kept in `runs/rivals`,
so that a run that is there is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.ablation import RECIPE, print_tables

RUNS = Path("runs/rivals")
OTHERS = Path("experiments/rivals")

SYSTEMS: Mapping[str, tuple[Path, tuple[str, ...]]] = {
    "motion": (RECIPE, ()),
    "imu2clip": (OTHERS / "imu2clip.py", ()),
    "primus": (OTHERS / "primus.py", ()),
    "comodo": (OTHERS / "comodo.py", ()),
}
"""Experiment file and settings of each system."""


def main() -> None:
    """Train what is missing, and print the table of each world."""
    print_tables(str(__doc__), SYSTEMS, RUNS, worlds=[1, 2])


if __name__ == "__main__":
    main()
