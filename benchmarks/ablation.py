"""Results of the recommended recipe without each of its ingredients in turn, over several seeds.

    make ablation                                 # world 2, three seeds: two hours on one core
    python -m benchmarks.ablation --worlds 1 2 --seeds 0 1 2 --only recipe one-network

Every run is `rxclip pretrain experiments/motion.py` on subjects 1 to 8 of a simulated world, chosen on subject 9, and
`rxclip evaluate` on subjects 10 to 18, none of which any training sees. The table shows the median over seeds, and the
lowest and the highest. Results are kept in `runs/ablation`, so that a run that is there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from rich import box
from rich.console import Console
from rich.table import Table

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.values import list_of, object_of

RECIPE = Path("experiments/motion.py")
RUNS = Path("runs/ablation")
TRAIN, VAL = "01,02,03,04,05,06,07,08", "09"
TEST = "10,11,12,13,14,15,16,17,18"

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "recipe": (),
    "no-aligned": ("loss.terms.aligned.weight=0",),  # still logged, and the model still has tokens
    "no-recording": ("loss.terms.recording=none",),
    "one-network": ("imu.pooled_width=0",),
    "tokens-alone": ("imu.pooled_width=0", "loss.terms.recording=none"),
    "one-vector": ("tokens=none", "loss.terms.aligned=none", 'loss.terms.pooled={"loss": {"type": "InfoNCE"}}'),
    "no-mirror": ("joint_augment=[]",),
    "no-rotation": ("imu_augment.0.p=0",),
    "no-shared": ("imu.shared=0",),
    "windows-4": ("batches.windows=4",),
    "sensor-dropout": (
        'imu_augment=[{"type": "SensorRotation", "angle": 30}, {"type": "Scale", "range": [0.9, 1.1]}, '
        '{"type": "GaussianNoise", "std": 0.1}, {"type": "SensorDropout"}]',
    ),
    "self-contrast": ('loss.terms.self={"loss": {"type": "SelfContrast"}, "weight": 0.5}',),
    "frames": (
        *("data.frames=4", "data.crop=32", "data.short_side=32", "video.color=scene", "frame_tokens={}"),
        'loss.terms.pooled={"loss": {"type": "InfoNCE"}}',
        'loss.terms.frames={"loss": {"type": "PerFrame"}}',
    ),
}
"""Settings of each variant."""

COLUMNS = ("R@1 [%]", "moving", "same subject", "macro F1", "1 subject", "1% labels", "untrained", "handcrafted")


def main() -> None:
    """Train what is missing, and print the table of each world."""
    print_tables(str(__doc__), {name: (RECIPE, settings) for name, settings in VARIANTS.items()}, RUNS, worlds=[2])


def print_tables(
    description: str, variants: Mapping[str, tuple[Path, Sequence[str]]], runs: Path, *, worlds: Sequence[int]
) -> None:
    """Train what is missing, and print the table of each world; a variant is an experiment file and its settings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=worlds)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=tuple(variants), default=tuple(variants))
    parser.add_argument("--set", action="append", default=[], help="setting of every run")
    asked = parser.parse_args()
    for world in asked.worlds:
        data = Path(f"data/world{world}")
        if not (data / "synthetic.json").is_file():
            rxclip("synthesize", str(data), "--subjects", "18", "--world", str(world))
        table = Table(box=box.SIMPLE, title=f"World {world}, nine unseen subjects, {len(asked.seeds)} seeds")
        for heading in ("", *COLUMNS):
            table.add_column(heading, justify="left" if not heading else "right")
        for name in asked.only:
            file, settings = variants[name]
            results = []
            for seed in asked.seeds:
                kept = runs / f"{run_name(data, name, seed, asked.set)}.json"
                results.append(result(file, kept, data, seed, [*settings, *asked.set]))
            table.add_row(name, *map(spread, zip(*map(figures, results), strict=True)))
        Console(width=150).print(table)


def result(file: Path, kept: Path, data: Path, seed: int, settings: Sequence[str]) -> JsonObject:
    """Return the metrics of an experiment with a seed, training and evaluating it if that has not been done."""
    if not kept.is_file():
        given = [f"data.root={data}", f"data.train_subjects={TRAIN}", f"data.val_subjects={VAL}", f"seed={seed}"]
        given += [f"data.test_subjects={TEST}", f"name={kept.stem}", *settings]
        rxclip("pretrain", str(file), *(part for one in given for part in ("--set", one)))
        metrics = rxclip("evaluate", "--ckpt", f"runs/{kept.stem}", "--json")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(metrics, encoding="utf-8")
    found: JsonObject = json.loads(kept.read_text(encoding="utf-8"))
    return found


def run_name(data: Path, variant: str, seed: int, settings: Sequence[str]) -> str:
    """Return the name of a run, from the characters that names of runs may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join([data.name, variant, *settings, str(seed)]))


def rxclip(*arguments: str) -> str:
    """Run a command, and return what it printed."""
    print(" ".join(("rxclip", *arguments)), file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "revalexo_clip", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def figures(metrics: JsonObject) -> list[float]:
    """Return the figures of the table, in percent."""

    def at(*path: str | int) -> float:
        value: JsonValue = metrics
        for place in path:
            value = object_of(value)[place] if isinstance(place, str) else list_of(value)[place]
        return 100 * float(str(value))

    def both(*path: str) -> float:
        return statistics.mean(at(*path, direction, "r_at_1") for direction in ("imu_to_video", "video_to_imu"))

    return [
        both("retrieval"),
        both("motion", "moving"),
        both("retrieval_within_subject"),
        *(at("probe", "linear", "imu", 0, "all", "macro_f1"), at("probe", "one_subject", "imu", "macro_f1")),
        at("probe", "few_labels", "imu", 0, "macro_f1"),
        at("probe", "linear", "imu_untrained", 0, "all", "macro_f1"),
        at("probe", "linear", "handcrafted", 0, "all", "macro_f1"),
    ]


def spread(values: tuple[float, ...]) -> str:
    """Return the median, and the lowest and highest value if there are several."""
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f}-{max(values):.1f})"


if __name__ == "__main__":
    main()
