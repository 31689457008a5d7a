"""Write 20 labelled minutes as a logger may write them, for trying `finetune_own_minutes.py` without recordings.

    python docs/examples/simulate_own_minutes.py

Five people wear the seven sensors of the demo for four minutes each, and a sixth one for one minute without labels:

    data/own_minutes/recordings.csv   file,subject
    data/own_minutes/segments.csv     file,start,end,label    times by the clock of the file [s]
    data/own_minutes/Anna.csv ...     time [s], acc_..._x [g], gyro_..._x [deg/s], 100 rows per second
    data/own_minutes/new.csv          the same, of the sixth person
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from revalexo_clip.data.resampling import resampled
from revalexo_clip.data.synthetic.clip import clip_plan, simulate

PEOPLE = ("Anna", "Ben", "Carla", "David", "Eva", "Frida")
RATE = 100.0  # of the files [Hz]
START = 50.0  # what the clock of the logger reads at the first row [s]
G, DEGREE = 9.80665, np.pi / 180  # [m/s^2], [rad]
SEED = 20  # other people than those of data/demo, who have seed 0


def write_table(path: Path, person: int, seconds: float) -> None:
    """Simulate a recording and write it with a clock [s], accelerations [g] and angular velocities [deg/s]."""
    recording = simulate(SEED, person, 0, seconds)
    samples_LC = resampled(recording.imu().astype(np.float32), 60.0, RATE)
    samples_LC /= np.array([G if name.startswith("acc") else DEGREE for name in recording.channels], np.float32)
    time_L1 = START + np.arange(len(samples_LC))[:, None] / RATE
    header = ",".join(["time", *recording.channels])
    np.savetxt(path, np.hstack([time_L1, samples_LC]), fmt="%.4f", delimiter=",", header=header, comments="")


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data/own_minutes"))
    parser.add_argument("--minutes", type=float, default=4.0, help="labelled minutes of each of five people")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True)
    files, segments, seconds = [("file", "subject")], [("file", "start", "end", "label")], 60 * arguments.minutes
    for person, name in enumerate(PEOPLE[:-1]):
        write_table(folder / f"{name}.csv", person, seconds)
        files.append((f"{name}.csv", name))
        segments += [
            (f"{name}.csv", f"{START + part.start:.2f}", f"{START + part.end:.2f}", part.activity)
            for part in clip_plan(SEED, person, 0, seconds)
        ]
    write_table(folder / "new.csv", len(PEOPLE) - 1, 60.0)
    for table, rows in (("recordings.csv", files), ("segments.csv", segments)):
        with (folder / table).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    print(f"{folder}: {len(files) - 1} labelled recordings of {arguments.minutes:g} minutes, and new.csv")


if __name__ == "__main__":
    main()
