"""The recommended recipe (`motion.py`) on synthetic subjects, in minutes on a laptop.

    rxclip synthesize data/demo --subjects 12 --overlap 4
    rxclip pretrain experiments/demo.py

Everything but the data is that of `motion.py`, which must lie in the same folder.
"""

from pathlib import Path

from motion import MotionRecipe

from revalexo_clip import Dataset, Motion, RevalExo


class Demo(MotionRecipe):
    name: str = "demo"
    data: Dataset = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10", "11", "12"),
        windows_per_clip=32,
        frames=0,
        motion=Motion(),
        workers=1,
    )
