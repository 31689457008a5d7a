"""Tiny image and video models of the transformers library, built from a configuration and saved: nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
CROP = 32
PATCH = 8
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
VIT = {"hidden_size": 8, "intermediate_size": 16, "image_size": CROP, "patch_size": PATCH, **LAYERS}


class Tiny(NamedTuple):
    """A model that can be saved."""

    model: type[PreTrainedModel]
    config: PretrainedConfig
    processor: str = "preprocessor_config.json"


_NO_MLP = {name: value for name, value in VIT.items() if name != "intermediate_size"}
_VIDEO = {**VIT, "num_frames": 4}
_TUBELETS = {**_VIDEO, "tubelet_size": [2, PATCH, PATCH]}
_RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 2], "layer_type": "basic"}
_JEPA = {"crop_size": CROP, "patch_size": PATCH, "hidden_size": 12, "frames_per_clip": 4, **LAYERS}
_PREDICTOR = {"pred_hidden_size": 12, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2}


def tiny(name: str) -> Tiny:
    """Return a tiny model by its name."""
    lib = transformers
    made = {
        "clip": lambda: Tiny(lib.CLIPVisionModelWithProjection, lib.CLIPVisionConfig(projection_dim=6, **VIT)),
        "siglip": lambda: Tiny(lib.SiglipVisionModel, lib.SiglipVisionConfig(**VIT)),
        "vit": lambda: Tiny(lib.ViTModel, lib.ViTConfig(hidden_dropout_prob=0.5, **VIT)),
        "dinov2": lambda: Tiny(lib.Dinov2Model, lib.Dinov2Config(drop_path_rate=0.5, **_NO_MLP)),
        "dinov3": lambda: Tiny(
            lib.DINOv3ViTModel, lib.DINOv3ViTConfig(num_register_tokens=4, pos_embed_rescale=2.0, **VIT)
        ),
        "resnet": lambda: Tiny(lib.ResNetModel, lib.ResNetConfig(**_RESNET)),
        "videomae": lambda: Tiny(lib.VideoMAEModel, lib.VideoMAEConfig(**_VIDEO), "video_preprocessor_config.json"),
        "vivit": lambda: Tiny(lib.VivitModel, lib.VivitConfig(**_TUBELETS)),
        "timesformer": lambda: Tiny(lib.TimesformerModel, lib.TimesformerConfig(**_VIDEO)),
        "vjepa2": lambda: Tiny(lib.VJEPA2Model, lib.VJEPA2Config(**_JEPA, **_PREDICTOR)),
    }
    return made[name]()


def write_tiny(folder: Path, name: str, seed: int = 0) -> Path:
    """Save a tiny model with random weights, and how its frames are normalised."""
    torch.manual_seed(seed)
    made = tiny(name)
    model = made.model(made.config)
    for parameter in model.parameters():  # also those that are zero or one at first
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    described: dict[str, object] = {"do_normalize": True, "image_mean": MEAN, "image_std": STD}
    if name == "vivit":
        described |= {"do_rescale": True, "rescale_factor": 1 / 127.5, "offset": True}
    (folder / made.processor).write_text(json.dumps(described))
    return folder
