"""Tiny models of the transformers library with tokenizers, built from a configuration and saved: nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "person", "someone", "is", "walking", "standing", "up", "stairs")


def _tokenizer(folder: Path) -> None:
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=16, eos_token="[SEP]", **names
    ).save_pretrained(folder)


def write_bert(folder: Path, seed: int = 0) -> Path:
    """Save a BERT of one layer with random weights."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    transformers.BertModel(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def write_clip_text(folder: Path, seed: int = 0) -> Path:
    """Save the text half of a CLIP of one layer with random weights, projected to 6 numbers."""
    torch.manual_seed(seed)
    config = transformers.CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        projection_dim=6,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    transformers.CLIPTextModelWithProjection(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def write_clip(folder: Path, seed: int = 0) -> Path:
    """Save a CLIP of one layer for images of 32 x 32 and for text, with random weights; both are projected to 6."""
    torch.manual_seed(seed)
    layer = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    marks = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text = {**layer, **marks, "vocab_size": len(WORDS), "max_position_embeddings": 16, "projection_dim": 6}
    vision = {**layer, "image_size": 32, "patch_size": 16, "projection_dim": 6}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)
    transformers.CLIPModel(config).save_pretrained(folder)
    colours = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(colours))
    _tokenizer(folder)
    return folder


def write_siglip_text(folder: Path, seed: int = 0) -> Path:
    """Save the text half of a SigLIP of one layer with random weights, projected to 6 numbers by its head."""
    torch.manual_seed(seed)
    config = transformers.SiglipTextConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
        projection_size=6,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    transformers.SiglipTextModel(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def write_t5(folder: Path, seed: int = 0) -> Path:
    """Save the encoder of a T5 of one layer with random weights."""
    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=3
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    _tokenizer(folder)
    return folder
