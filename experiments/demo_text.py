"""IMU and text on synthetic subjects, in two minutes on a laptop: what the encoder can be asked in words.

    rxclip synthesize data/demo --subjects 12 --overlap 4 --narrate
    rxclip pretrain experiments/demo_text.py
    rxclip evaluate --ckpt runs/demo_text --zero-shot data/demo/narrations_unseen.json
    rxclip search "climbing up the stairs slowly" Subject10 Subject11 --ckpt runs/demo_text

Narrations say pace, slope and turning. Ten combinations of them are held out: no training window is named by them, and
the evaluation asks for them in words that no narration has. `WordText` needs no library; with the transformers library
and the folder of a sentence encoder, text knows words that training does not have:

    rxclip pretrain experiments/demo_text.py --set text.type=HFText --set text.model=models/my_sentence_encoder
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    Dataset,
    GaussianNoise,
    ImuAugmentation,
    ImuEncoder,
    Loss,
    Narrations,
    Optimizer,
    PretrainExperiment,
    ResNet1D,
    RevalExo,
    Scale,
    SensorRotation,
    TextContrast,
    TextEncoder,
    Texts,
    TrainerConfig,
    VideoEncoder,
    WordText,
)
from revalexo_clip.data.synthetic.narrate import HELD_OUT


class DemoText(PretrainExperiment):
    name: str = "demo_text"
    data: Dataset = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07"),
        val_subjects=("08",),
        test_subjects=("09", "10", "11", "12"),
        windows_per_clip=32,
        workers=1,
    )
    imu: ImuEncoder = ResNet1D()
    video: VideoEncoder | None = None
    text: TextEncoder | None = WordText()
    texts: Texts | None = Narrations(held_out=HELD_OUT)
    standardize: bool = True
    embed_dim: int = 64
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=10),
        Scale(range=(0.9, 1.1)),  # time is not warped: the pace is a part of what is said
        GaussianNoise(std=0.1),
    )
    loss: Loss = TextContrast()
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 128
    trainer: TrainerConfig = TrainerConfig(max_epochs=8, accelerator="cpu", precision="32")
