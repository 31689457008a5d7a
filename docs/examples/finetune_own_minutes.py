"""Finetune a pretrained encoder on your own labelled minutes, and predict the activities of a new recording.

    python docs/examples/simulate_own_minutes.py     # only if you have no recordings yet
    python docs/examples/finetune_own_minutes.py

Copy this file, and change what is marked CHANGE. The folder has your recordings as CSV files and two tables:

    recordings.csv   file,subject             one line for each recording
    segments.csv     file,start,end,label     any number for each recording; times by the clock of the file [s]

Recordings are resampled to the rate of the encoder and cut into windows [B, L, C] of its length. They need the channels
that it was trained on, with axes that point the same way.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

from rich.console import Console

from revalexo_clip import (
    AdamW,
    FinetuneExperiment,
    Freezing,
    ImuRecordings,
    TrainerConfig,
    export_classifier,
    finetune,
    predict_recording,
)
from revalexo_clip.core.console import quiet_libraries
from revalexo_clip.data.recordings.units import Unit
from revalexo_clip.finetuning.initial_encoder import read_encoders
from revalexo_clip.reports.terminal.classifier import classifier_report

FOLDER = Path("data/own_minutes")  # CHANGE: the folder with recordings.csv and segments.csv
NEW = "new.csv"  # CHANGE: a recording in the folder to predict, without labels
# CHANGE: no subject may be in two of these. The checkpoint is chosen on VAL; the results are those of TEST.
TRAIN, VAL, TEST = ("Anna", "Ben", "Carla"), ("David",), ("Eva",)
CLOCK = "time"  # CHANGE: the column with the time of each row [s]
UNITS: dict[str, Unit] = {"acc": "g", "gyro": "deg/s"}  # CHANGE: units of columns acc_... and gyro_...


def main() -> None:
    """Train, print the results on the test subjects, export, and predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, default=Path("runs/demo"), help="pretraining run or exported encoder")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="your recordings")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    quiet_libraries()  # log lines of the training, without those of Lightning

    spec = read_encoders(arguments.encoder).architecture.imu_spec
    assert spec is not None, f"{arguments.encoder} has no IMU encoder"
    experiment = FinetuneExperiment(
        name="own_minutes",
        data=ImuRecordings(
            root=arguments.folder,
            time=CLOCK,
            units=UNITS,
            train_subjects=TRAIN,
            val_subjects=VAL,
            test_subjects=TEST,
            # CHANGE, if your columns have other names: {"acc_Pelvis_x": "ax", ...}, all channels of the encoder.
            channels={name: name for name in spec.channels},
            imu_rate=spec.rate,  # of windows [Hz]; your recordings may have any rate of at least half of it
            window=spec.window,  # [s]
            workers=0,
        ),
        encoder=arguments.encoder,
        freezing=Freezing(epochs=2),  # the heads come first, so that they do not spoil the encoder
        optim=AdamW(lr=1e-3, imu_lr_scale=0.3),
        batch_size=32,
        trainer=TrainerConfig(max_epochs=arguments.epochs, early_stopping=10),
    )
    trained = finetune(experiment)  # refuses test subjects that the encoder was trained on
    assert trained.evaluation is not None
    Console().print(*classifier_report(trained.evaluation.metrics), sep="\n")

    folder = export_classifier(trained.folder).files[0].parent
    new = arguments.folder / NEW
    found = predict_recording(new, folder, time=CLOCK, units=UNITS)  # one window every 0.5 s
    end_N, label_NK, _ = found.predictions
    print(f"{new}, by the classifier in {folder}:")
    at_end = zip(end_N.tolist(), label_NK[:, 0].tolist(), strict=True)  # times [s]; labels at the first horizon
    for label, windows in groupby(at_end, key=lambda pair: pair[1]):
        times = [time for time, _ in windows]
        print(f"  {times[0]:7.1f} to {times[-1]:7.1f} s  {label}")


if __name__ == "__main__":
    main()
