"""AnySensor pretrained on simulated bodies: one encoder for any IMU, anywhere on the body.

    rxclip synthesize data/bodies.npz --world 2 --places all --no-video --subjects 40 --minutes 8
    rxclip pretrain experiments/any_sensor.py
    rxclip export-encoder --modality imu

`make encoder-in-the-box` runs all three.

A window is recognised by another augmentation of it (`SelfContrast`), in which other sensors of the same body are
silenced. So the encoder learns what a movement has in common all over the body. No labels are used. Nothing has to be
rotated, because the encoder does not depend on how a sensor is turned. Batches have many windows of one subject, so
that the person does not give the answer.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    AnySensor,
    BatchComposition,
    GaussianNoise,
    GroupedBatches,
    ImuAugmentation,
    ImuEncoder,
    ImuRecordings,
    Loss,
    Optimizer,
    PretrainExperiment,
    Recordings,
    Scale,
    SelfContrast,
    SensorDropout,
    TrainerConfig,
    VideoEncoder,
)

PLACES = (
    "Pelvis",
    "Trunk",
    "Head",
    "Right_Forearm",
    "Right_Upper_Arm",
    "Right_Pocket",
    "Right_Lower_Leg",
    "Right_Foot",
)


class AnySensorOnBodies(PretrainExperiment):
    name: str = "any_sensor"
    data: Recordings = ImuRecordings(
        root=Path("data/bodies.npz"),
        channels={
            name: name
            for name in (f"{kind}_{place}_{axis}" for place in PLACES for kind in ("acc", "gyro") for axis in "xyz")
        },
        train_subjects=tuple(str(number) for number in range(1, 33)),
        val_subjects=tuple(str(number) for number in range(33, 37)),
        test_subjects=tuple(str(number) for number in range(37, 41)),
        train_stride=2.0,
    )
    imu: ImuEncoder = AnySensor()
    video: VideoEncoder | None = None
    embed_dim: int = 64
    imu_augment: tuple[ImuAugmentation, ...] = (
        Scale(range=(0.8, 1.2)),
        GaussianNoise(std=0.02),
        SensorDropout(rate=0.8, p=1.0),  # last: it is exactly 0 that is ignored
    )
    loss: Loss = SelfContrast()
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 128
    batches: BatchComposition = GroupedBatches(by="subject", windows=32)
    trainer: TrainerConfig = TrainerConfig(max_epochs=5)
