"""Text models of the transformers library, an optional extra (https://github.com/huggingface/transformers)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.models.hugging_face import (
    loading,
    place_of,
    read_config,
    read_json_file,
    require_transformers,
    without_dropout,
)
from revalexo_clip.models.layers import freeze_unused
from revalexo_clip.models.text.base import PADDING, TextEncoder, TextNet

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Pooling = Literal["mean", "cls", "last", "model"]


class HFText(TextEncoder):
    """A text model of the transformers library, by its name or in a local folder, with its own tokenizer.

    Needs `pip install 'revalexo_clip[text]'`. Folders of sentence-transformers can be used, too.
    """

    model: str = Field(min_length=1)
    """Folder, or name that the library downloads or finds in its cache, e.g. `openai/clip-vit-base-patch32`."""
    pooling: Pooling = "mean"
    """What a sentence's features are: the `mean` over tokens, the first token (`cls`), the `last` one, or what the
    `model` itself gives for the whole sentence: CLIP's projection to its shared space, or another model's pooled
    output."""
    frozen: Literal["all", 0] = "all"
    """`all`: the model is not trained; each sentence is encoded once, when training starts, and checkpoints have the
    model's name and a digest of its weights. 0: it is trained, without dropout, and checkpoints have its weights."""
    max_length: PositiveInt = 64
    """Tokens of a sentence; longer sentences are cut."""
    local_files_only: bool = False
    """Read only local files and the library's cache, and never ask the network."""

    @property
    def is_frozen(self) -> bool:
        """See `TextEncoder.is_frozen`."""
        return self.frozen == "all"

    def build(self) -> TextNet:
        """See `TextEncoder.build`. Raises `DataError` if the files lack weights that the pooling uses."""
        require_transformers("text", "HFText")
        import transformers  # noqa: PLC0415 (an optional extra)

        with loading("text.model", self.model, "config.json, tokenizer files and model.safetensors"):
            place, local = place_of(self.model, local_files_only=self.local_files_only)
            config = read_config(place, local_files_only=local)
            settings = read_json_file(place, "config.json", local_files_only=local)
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, local_files_only=local)
            kind = getattr(transformers, _class_name(config, self.pooling))
            off = without_dropout(config)
            model, info = kind.from_pretrained(
                place, dtype=torch.float32, output_loading_info=True, local_files_only=local, **off
            )
        if self.pooling != "model" and isinstance(getattr(model, "pooler", None), nn.Module):
            model.pooler = None  # so that files without its weights can be used
        self._check_complete(model, info["missing_keys"])
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        longest = min(self.max_length, tokenizer.model_max_length)
        net = HFTextNet(model, tokenizer, self.pooling, longest, settings or {})
        if not self.is_frozen:
            freeze_unused(net, net(net.tokenize(["a"])))
        return net

    def _check_complete(self, model: PreTrainedModel, missing: Collection[str]) -> None:
        """Raise `DataError` if weights that are used are not in the model's files: the library would draw them."""
        used = [name for name in model.state_dict() if name in missing]
        if used:
            raise DataError(
                f"text.model: {self.model} lacks weights that pooling={self.pooling} uses: {', '.join(used)}\n"
                "Take a model that has them, or another text.pooling, such as mean, which needs no pooled output"
            )


_CLASSES = {
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "siglip": "SiglipTextModel",
    "siglip_text_model": "SiglipTextModel",
    "siglip2": "Siglip2TextModel",
    "siglip2_text_model": "Siglip2TextModel",
    "t5": "T5EncoderModel",
}
"""The text half of models that have another half, by their `model_type`; other models are read as a whole."""


def _class_name(config: PretrainedConfig, pooling: Pooling) -> str:
    """Return the name of the library's class for the text encoder of a model."""
    name = _CLASSES.get(config.model_type, "AutoModel")
    return "CLIPTextModelWithProjection" if name == "CLIPTextModel" and pooling == "model" else name


_OF_NO_EFFECT = frozenset({"architectures", "_name_or_path", "transformers_version", "dtype", "torch_dtype"})
"""Entries of config.json that do not change features: weights are always read as float32."""


class HFTextNet(TextNet):
    """A text model of the library, and how its output becomes features."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pooling: Pooling,
        max_length: int,
        settings: JsonObject,
    ) -> None:
        """Take `settings`, those in the config.json of the model, for `digest`."""
        super().__init__()
        self.settings = {name: value for name, value in settings.items() if name not in _OF_NO_EFFECT}
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_length = max_length
        model.eval()
        with torch.no_grad():
            try:
                self.feature_dim = self(self.tokenize(["a"])).shape[1]
            except DataError:
                raise
            except IndexError as error:
                raise DataError(f"text.max_length: {max_length} is more than the model has positions for") from error

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        """See `TextNet.tokenize`."""
        if not sentences:
            return torch.empty(0, 0, dtype=torch.int64)
        found = self.tokenizer(
            list(sentences),
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
            return_attention_mask=True,
        )
        token_VS: Tensor = found["input_ids"]
        return token_VS.masked_fill(found["attention_mask"] == 0, PADDING)

    def forward(self, token_BS: Tensor) -> Tensor:
        """See `TextNet.forward`."""
        there_BS = token_BS != PADDING
        ids_BS = token_BS.masked_fill(~there_BS, int(self.tokenizer.pad_token_id or 0))
        output = self.model(input_ids=ids_BS, attention_mask=there_BS.long())
        if self.pooling == "model":
            return self._own(output)
        states_BSF: Tensor = output.last_hidden_state
        if self.pooling == "cls":
            return states_BSF[:, 0]
        if self.pooling == "last":
            last_B = there_BS.sum(dim=1) - 1
            return states_BSF[torch.arange(len(states_BSF), device=states_BSF.device), last_B]
        return (states_BSF * there_BS[..., None]).sum(dim=1) / there_BS.sum(dim=1, keepdim=True)

    def _own(self, output: object) -> Tensor:
        for name in ("text_embeds", "pooler_output"):
            found = getattr(output, name, None)
            if isinstance(found, Tensor):
                return found
        raise DataError(f"text.pooling: {type(self.model).__name__} gives no features of the whole sentence; use mean")

    def digest(self) -> str:
        """See `TextNet.digest`: the settings of model and tokenizer and, of a model that is frozen, its weights."""
        settings = json.dumps(self.settings, sort_keys=True)
        found = hashlib.sha256(f"{self.max_length} {self.pooling} {settings}".encode())
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        described = backend.to_str() if backend is not None else sorted(self.tokenizer.get_vocab().items())
        found.update(str(described).encode())
        if not any(parameter.requires_grad for parameter in self.parameters()):
            for name, weight in sorted(self.state_dict().items()):
                found.update(f"{name} {tuple(weight.shape)}".encode())
                found.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()
