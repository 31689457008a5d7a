"""IMU2CLIP's published configuration on Ego4D: IMU is aligned with a frozen CLIP, with both images and narrations.

    rxclip pretrain experiments/ego4d_imu2clip.py --set data.root=data/ego4d
    rxclip search "a person climbs the stairs" participant_12 --ckpt runs/ego4d_imu2clip

Moon et al., 2022, arXiv:2210.14395. No encoder has a projection head: the 512 numbers of the GRU are compared with
those that CLIP gives for a sentence, and with the mean of those that it gives for 10 frames. As the frozen encoders
share their space, one of the two terms is enough to compare IMU with the other:

    rxclip pretrain experiments/ego4d_imu2clip.py --set loss.terms.text.weight=0

Published are Adam with a learning rate of 2e-4, a temperature of 0.1 that is not learned, 15 epochs, and windows of 5
or 2.5 s (`--set data.window=2.5`). The batch of 128 is compared as a whole; theirs are 16 windows on each of 8 devices,
which are compared on each device alone. Windows that overlap, and sentences that are the same, are no negatives here.
Whether they clip gradients is not published; here, they are clipped at a norm of 1, the default.
The extra `text` is needed, and the model `openai/clip-vit-base-patch32`, which the transformers library downloads; with
`video.model` and `text.model`, a folder.
"""

from pathlib import Path
from typing import Literal

from revalexo_clip import (
    AdamW,
    Dataset,
    Ego4D,
    HFImage,
    HFText,
    ImuEncoder,
    InfoNCE,
    Loss,
    Narrations,
    Optimizer,
    PretrainExperiment,
    StackedConvGRU,
    Sum,
    Term,
    TextContrast,
    TextEncoder,
    Texts,
    TrainerConfig,
    VideoEncoder,
)

CLIP = "openai/clip-vit-base-patch32"


class Ego4DIMU2CLIP(PretrainExperiment):
    name: str = "ego4d_imu2clip"
    data: Dataset = Ego4D(root=Path("data/ego4d"), window=5.0, imu_rate=200, frames=10, crop=224, short_side=224)
    imu: ImuEncoder = StackedConvGRU(hidden=512)
    video: VideoEncoder = HFImage(model=CLIP, pooling="model", frozen="all")
    text: TextEncoder | None = HFText(model=CLIP, pooling="model", frozen="all", max_length=77)
    texts: Texts | None = Narrations()
    headless: tuple[Literal["imu", "video", "text"], ...] = ("imu", "video", "text")
    embed_dim: int = 512
    loss: Loss = Sum(terms={"video": Term(InfoNCE(temperature=0.1)), "text": Term(TextContrast(temperature=0.1))})
    optim: Optimizer = AdamW(lr=2e-4, final_lr=2e-4, weight_decay=0, loss_lr_scale=1e-9)  # the temperature stays
    batch_size: int = 128
    trainer: TrainerConfig = TrainerConfig(max_epochs=15, precision="32")
