"""The experiment of contrastive pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import PositiveInt, model_validator
from torch import nn

from revalexo_clip.augment import (
    Augmentation,
    Augments,
    HorizontalFlip,
    ImuAugmentation,
    ImuAugmentations,
    JointAugmentation,
    VideoAugmentation,
)
from revalexo_clip.config.base import Experiment, TrainerConfig, check_augmentations
from revalexo_clip.config.feature_cache import FeatureCache
from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ImuSpec, Modality, Split, VideoSpec
from revalexo_clip.data import BatchComposition, Dataset, LabelledWindows, Recordings, UniformBatches
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.texts import Texts
from revalexo_clip.losses import Loss
from revalexo_clip.losses.base import Vector
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.terms import has_validation_loss
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.models.frame_tokens import FrameTokens
from revalexo_clip.models.text import TextEncoder
from revalexo_clip.models.text.tower import TextTower
from revalexo_clip.models.tokens import Tokens
from revalexo_clip.optim import AdamW, Optimizer

COMPONENT_KINDS: tuple[type[Component], ...] = (
    *(Recordings, ImuEncoder, VideoEncoder, TextEncoder, Texts),
    *(ImuAugmentation, VideoAugmentation, JointAugmentation),
    *(Loss, Optimizer, BatchComposition),
)
"""Kinds of components of an experiment."""


def reads_of(loss: Loss) -> frozenset[Vector]:
    """Return the kinds of vectors that a loss compares, in all its terms."""
    return frozenset(kind for _, term in loss.build().terms().values() for kind in term.reads)


IMU_ALONE: frozenset[Vector] = frozenset({"imu", "imu_second"})
"""Kinds of vectors that a loss can compare without video."""


BestBy = Literal["loss", "mrr", "last"]
"""What the best checkpoint of a pretraining is chosen by, see `PretrainExperiment.best`."""


class PretrainExperiment(Experiment):
    """Contrastive pretraining of an IMU encoder and a video encoder, or of an IMU encoder alone."""

    data: Recordings
    """Recordings, split by subject and cut into windows; a `Dataset`, which has video, unless `video` is null."""
    imu: ImuEncoder
    """Encoder of the IMU window."""
    video: VideoEncoder | None
    """Encoder of the video window; null for IMU without video, with a loss that compares augmentations of IMU windows
    (`SelfContrast`), windows of a recording (`TemporalContrast`) or windows and text (`TextContrast`). No video is read
    then."""
    feature_cache: FeatureCache | None = None
    """Compute the features of a frozen video encoder (`video.frozen=all`) once and keep them, if it is a
    `FrozenFeatures`; null to encode the frames of every window."""
    text: TextEncoder | None = None
    """Encoder of sentences, for losses that compare windows with text (`TextContrast`); null for none."""
    texts: Texts | None = None
    """Where the sentences of windows come from, if there is a text encoder."""
    standardize: bool = False
    """Let the model scale every IMU channel to mean 0 and standard deviation 1, by the training subjects. Inputs stay
    in their units."""
    embed_dim: PositiveInt = 256
    """Dimension D of the shared space, and of the features of most encoders."""
    headless: tuple[Literal["imu", "video", "text"], ...] = ()
    """Modalities without a projection head: their features, at unit length, are the embeddings, and must be of size
    `embed_dim`. Of a frozen pair that already shares a space, such as the image and text encoders of CLIP, name both:
    IMU that is trained against one of them can then be compared with the other."""
    tokens: Tokens | None = None
    """Time-aligned tokens, which retrieval compares instead of embeddings of the whole window; null for none. Both
    encoders must keep time."""
    frame_tokens: FrameTokens | None = None
    """Vectors of the moments that have frames, for terms that compare them one by one (`PerFrame`); null for none."""
    imu_augment: tuple[ImuAugmentation, ...] = ()
    """Augmentations of the IMU window, in order. All augmentations are applied in training only."""
    video_augment: tuple[VideoAugmentation, ...] = ()
    """Augmentations of the video window, in order."""
    joint_augment: tuple[JointAugmentation, ...] = ()
    """Augmentations of both windows together, in order; they come before the others."""
    loss: Loss = InfoNCE()
    """Contrastive loss function."""
    optim: Optimizer = AdamW()
    """Optimizer and learning rate schedule."""
    batch_size: PositiveInt = 64
    """Pairs that are contrasted with each other, over all devices."""
    batches: BatchComposition = UniformBatches()
    """How batches are composed of windows."""
    micro_batch: PositiveInt | None = None
    """Windows that a device encodes at a time, to limit memory; null for all at once."""
    best: BestBy = "loss"
    """What `best.ckpt` is chosen by: the lowest `val/loss`; the highest `val/mrr`, the mean reciprocal rank of
    retrieval in both directions; or it is the `last` epoch, for losses whose terms do not agree on an epoch, with a
    learning rate that ends near 0. A loss of which no term can be computed on validation windows has no `val/loss`. IMU
    alone has a measure of its own."""
    trainer: TrainerConfig = TrainerConfig()
    """Length, precision and devices of the training."""

    @model_validator(mode="after")
    def _check_best(self) -> Self:
        if self.best != "loss" and self.video is None and self.text is None:
            raise ValueError("best: checkpoints of IMU alone are chosen by val/selection; leave best out")
        if self.best == "mrr" and self.video is None:
            raise ValueError("best: mrr is that of retrieval between IMU and video, and video is null; leave best out")
        if self.best == "last" and self.trainer.early_stopping is not None:
            raise ValueError("best: the last epoch cannot be chosen by and stop early; set trainer.early_stopping=none")
        selected = self.video is not None or self.text is not None
        if self.best == "loss" and selected and not has_validation_loss(self.loss.build()):
            other = "mrr or best=last" if self.video is not None else "last"
            raise ValueError(
                "best: no term of the loss with a weight above 0 can be computed on validation windows, so that "
                f"checkpoints cannot be chosen by it; set best={other}, or add InfoNCE or SigLIP to the loss"
            )
        return self

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.batch_size < 2:
            raise ValueError("batch_size: a contrastive batch needs at least 2 pairs")
        return self

    @model_validator(mode="after")
    def _check_modalities(self) -> Self:
        if self.video is not None:
            if not isinstance(self.data, Dataset):
                raise ValueError(
                    f"data: {type(self.data).__name__} has no video, and video is {type(self.video).__name__}; for "
                    "IMU alone set video=none and loss.type=SelfContrast"
                )
            return self
        if more := sorted(reads_of(self.loss) - IMU_ALONE - {"text"}):
            raise ValueError(
                f"loss: it compares {more[0]}, which needs video, and video is null; for IMU alone set "
                "loss.type=SelfContrast, or a Sum of such terms"
            )
        for field in ("tokens", "frame_tokens", "video_augment", "joint_augment"):
            if getattr(self, field):
                raise ValueError(f"{field}: it needs video, and video is null; remove it")
        return self

    @model_validator(mode="after")
    def _check_feature_cache(self) -> Self:
        if self.feature_cache is None:
            return self
        if self.video is None:
            raise ValueError("feature_cache: it keeps features of video, and video is null; remove it")
        augments = bool(self.video_augment or self.joint_augment)
        self.feature_cache.check(frozen=self.video.frozen, augments_video=augments)
        return self

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        if (self.text is None) != (self.texts is None):
            given, missing = ("texts", "text=WordText") if self.text is None else ("text", "texts=ActivityTemplates")
            raise ValueError(f"{given}: a text encoder and texts belong together; set {missing} too")
        reads = "text" in reads_of(self.loss)
        if reads and self.text is None:
            raise ValueError("loss: TextContrast needs text; set text=WordText and texts=ActivityTemplates")
        if self.text is not None and not reads:
            raise ValueError("text: no term of the loss reads it; add TextContrast(), or set text=none and texts=none")
        return self

    @model_validator(mode="after")
    def _check_headless(self) -> Self:
        for name in ("video", "text"):
            if name in self.headless and getattr(self, name) is None:
                raise ValueError(f"headless: there is no {name} encoder; leave {name} out")
        return self

    @model_validator(mode="after")
    def _check_augmentations(self) -> Self:
        check_augmentations(self)
        retiming = [type(one).__name__ for one in self.imu_augment if one.retimes]
        flips = [type(one).__name__ for one in self.video_augment if isinstance(one, HorizontalFlip)]
        if not (retiming or flips) or reads_of(self.loss).isdisjoint({"imu_tokens", "video_tokens", "imu_frames"}):
            return self
        if retiming:
            raise ValueError(
                f"imu_augment: {retiming[0]} moves IMU samples in time and not the video, and the loss compares both "
                f"moment by moment; remove {retiming[0]}, or the term on tokens"
            )
        raise ValueError(
            f"video_augment: {flips[0]} mirrors the motion that the video shows and not that of the body, and the loss "
            "compares both moment by moment; use Mirror in joint_augment"
        )

    def windows(self, split: Split) -> LabelledWindows:
        """Index the windows of a split, a `WindowDataset` unless `video` is null.

        Raises `DataError`, naming the file, if the dataset is invalid.
        """
        if self.video is None:
            return self.data.labelled(split, self.seed)
        dataset = self.data.build(split, self.seed)
        if self.feature_cache is not None and self.feature_cache.grid is not None and isinstance(dataset, ClipWindows):
            dataset.start_on_grid(self.feature_cache.grid)
        return dataset

    def build_augmentation(self, imu_spec: ImuSpec, video_spec: VideoSpec | None) -> Augments:
        """Build all augmentations, in order. Raises `ConfigError` if one of them does not support the windows."""
        second_view = "imu_second" in reads_of(self.loss)
        if video_spec is None:
            return ImuAugmentations(self.imu_augment, imu_spec=imu_spec, second_view=second_view)
        return Augmentation(
            self.imu_augment,
            self.video_augment,
            self.joint_augment,
            imu_spec=imu_spec,
            video_spec=video_spec,
            second_view=second_view,
        )

    def build_text(self) -> TextTower | None:
        """Build the text encoder and its head with new weights; None if there is none.

        Raises `ConfigError` if a library is missing or features without a head are not of size `embed_dim`, `DataError`
        if weights cannot be read.
        """
        if self.text is None:
            return None
        return TextTower(self.text, self.embed_dim, headless="text" in self.headless)

    def self_contained(self) -> Self:
        """Return this experiment with everything that its encoders read from files, see `Encoder.self_contained`."""
        found = {"imu": self.imu.self_contained(), "video": self.video and self.video.self_contained()}
        return self.model_copy(update=found)

    def build_model(self, imu_spec: ImuSpec, video_spec: VideoSpec | None) -> DualEncoder:
        """Build the towers with new weights, and freeze the blocks that the experiment freezes.

        The weights depend on torch's seed. Raises `ConfigError` if an encoder cannot be built or frozen as configured,
        or gives no features of moments for `tokens`, or features without a head that are not of size `embed_dim`.
        """
        imu, video = self.imu.build(imu_spec, self.embed_dim), None
        blocks: dict[Modality, Sequence[nn.Module]] = {"imu": self.imu.blocks(imu)}
        sizes: dict[Modality, int] = {"imu": self.imu.feature_dim(self.embed_dim)}
        frozen = list(self.imu.frozen_blocks(imu))
        if self.video is not None:
            assert video_spec is not None
            video = self.video.build(video_spec, self.embed_dim)
            blocks["video"], sizes["video"] = self.video.blocks(video), self.video.feature_dim(self.embed_dim)
            frozen += self.video.frozen_blocks(video)
        model = DualEncoder(
            imu,
            video,
            embed_dim=self.embed_dim,
            imu_spec=imu_spec,
            video_spec=video_spec,
            blocks=blocks,
            feature_dims=sizes,
            tokens=self.tokens,
            frame_tokens=self.frame_tokens,
            headless=self.headless,
        )
        model.freeze(frozen)
        return model
