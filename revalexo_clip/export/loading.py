"""Load an exported encoder. No code from its folder is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import shorten

import torch
from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export.description import CARD, DESCRIPTION, WEIGHTS, EncoderDescription
from revalexo_clip.export.encoder import PretrainedEncoder, build_encoder
from revalexo_clip.export.hub import HubOptions, download_folder, repository_named

_DESCRIBED = "description"
"""Entry of a weight file's metadata: `EncoderDescription.what_weights_fit` as JSON text."""

_STANDARDIZATION = ("samples.mean", "samples.std")
"""Tensors that `config.json` contains, too."""

_SHOWN = 5


def load_encoder(
    folder: str | Path,
    experiment_file: str | Path | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> PretrainedEncoder:
    """Load the encoder of an exported folder, in eval mode on the CPU. No code from the folder is run.

    - `folder`: a folder, or the `user/name` of a repository on the Hugging Face Hub, which needs huggingface_hub. A
      local folder takes precedence.
    - `experiment_file`: file that defines the encoder if it is not part of this package.
    - `revision`, `token`, `cache_dir`, `local_files_only`: see `HubOptions`; for the hub only.

    Raises `ConfigError` if the folder is not an exported encoder, `DataError` if one of its files is missing or
    corrupt, and both as `download_folder` does. The message names the file or the repository.
    """
    options = HubOptions(revision, token, None if cache_dir is None else Path(cache_dir), local_files_only)
    repo = repository_named(folder, options)
    if experiment_file is not None:
        import_experiment_file(Path(experiment_file))
    folder = Path(folder) if repo is None else _download(repo, options, experiment_file)
    description = _read_description(folder / DESCRIPTION, experiment_file)
    path = folder / WEIGHTS
    weights, settings = _read_weights(path)
    _refuse_other_sizes(folder, description, weights)
    module = _build(folder, description)
    _load_into(module, weights, path)
    for name, stored in module.named_buffers():
        if name in _STANDARDIZATION and description.imu is not None:
            described = torch.tensor(getattr(description.imu, name.rpartition(".")[2]))
            if not torch.equal(stored, described):
                raise DataError(
                    f"{folder / DESCRIPTION}: imu.{name.rpartition('.')[2]} differs from {name} in {WEIGHTS}; one of "
                    "the two files was changed"
                )
    if settings is not None:
        _refuse_other_settings(path, settings, description)
    return module.eval()


def _download(repo: str, options: HubOptions, experiment_file: str | Path | None) -> Path:
    """Download an encoder from the hub: its description first, and the weights only if it is one of an encoder."""
    folder = download_folder(repo, [DESCRIPTION], options)
    try:
        described: object = json.loads((folder / DESCRIPTION).read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{repo}: is not an exported encoder: it has no {DESCRIPTION}") from error
    except ValueError as error:
        raise DataError(f"{repo}: {DESCRIPTION} is not JSON: {error}") from error
    if not isinstance(described, dict) or not {"modality", "encoder", "embed_dim", "origin"} <= described.keys():
        raise ConfigError(f"{repo}: is not an exported encoder: its {DESCRIPTION} describes something else")
    _read_description(folder / DESCRIPTION, experiment_file)
    return download_folder(repo, [DESCRIPTION, WEIGHTS, CARD], replace(options, revision=folder.name))


def weights_metadata(description: EncoderDescription) -> dict[str, str]:
    """Return the metadata of a weight file: the part of the description that determines its outputs.

    So a description that was changed later, such as channels in another order, does not pass. It is the only entry,
    because safetensors writes several in random order.
    """
    return {_DESCRIBED: json.dumps(description.what_weights_fit(), sort_keys=True)}


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Read the weights, and the settings in their metadata. Raises `DataError` if they cannot be read or are NaN."""
    try:
        weights = load_file(path)
        with safe_open(path, "pt") as file:
            settings = (file.metadata() or {}).get(_DESCRIBED)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing from this encoder folder") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: corrupt, or not a safetensors file: {error}") from error
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise DataError(f"{path}: {', '.join(broken[:_SHOWN])}: values must be finite; export the encoder again")
    return weights, settings


def _refuse_other_settings(path: Path, text: str, description: EncoderDescription) -> None:
    """Raise `DataError` if a description is not the one that weights were written with."""
    try:
        written = json.loads(text) | {"origin": description.origin.model_dump(mode="json")}
        before = EncoderDescription.model_validate(written).what_weights_fit()
    except (ValueError, TypeError) as error:  # JSON or fields
        raise DataError(f"{path}: corrupt: its metadata describe no encoder") from error
    now = description.what_weights_fit()
    paths = [f"{name}.{key}" if key else name for name in now for key in _differing(before[name], now[name])]
    if paths:
        raise DataError(
            f"{path.with_name(DESCRIPTION)}: {', '.join(paths)}: not what {WEIGHTS} was written with; one of the two "
            "files was changed"
        )


def _differing(before: JsonValue, now: JsonValue) -> list[str]:
    """Return the keys in which two values differ, an empty one if they have no keys; nothing if they are equal."""
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        return [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [""]


def _refuse_other_sizes(folder: Path, description: EncoderDescription, weights: Mapping[str, Tensor]) -> None:
    """Raise `DataError` if weights have other sizes, before memory is taken for the sizes in a damaged description.

    Encoders of others are not built without memory, because their code may not expect it.
    """
    if not _is_built_in(description):
        return
    without_tokens = description.model_copy(update={"tokens": None, "token_times": None})
    try:
        with torch.device("meta"):
            module = _build(folder, without_tokens)
    except _WithoutMemory:
        return
    _load_into(module, {name: tensor.to("meta") for name, tensor in weights.items()}, folder / WEIGHTS, strict=False)


class _WithoutMemory(Exception):  # noqa: N818 (not an error)
    """An encoder needs numbers to be built, which tensors without memory do not have."""


def _is_built_in(description: EncoderDescription) -> bool:
    return type(description.encoder).__module__.startswith("revalexo_clip.")


def _build(folder: Path, description: EncoderDescription) -> PretrainedEncoder:
    """Build an encoder. Raises `DataError` if it cannot be built as described."""
    try:
        return build_encoder(description)
    except ConfigError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}") from error
    except (RuntimeError, TypeError, OverflowError, MemoryError) as error:  # sizes that torch cannot express or store
        if "meta" in str(error):
            raise _WithoutMemory from error
        if not _is_built_in(description):
            raise
        cause = shorten((str(error).splitlines() or [type(error).__name__])[0], 200, placeholder=" ...")
        raise DataError(f"{folder / DESCRIPTION}: no encoder of these sizes can be built: {cause}") from error


def _load_into(module: PretrainedEncoder, weights: Mapping[str, Tensor], path: Path, *, strict: bool = True) -> None:
    try:
        module.load_state_dict(weights, strict=strict)
    except RuntimeError as error:  # names or shapes differ
        differences = shorten(str(error), 500, placeholder=" ...")
        raise DataError(f"{path}: the weights do not fit the encoder in {DESCRIPTION}: {differences}") from error


def _read_description(path: Path, experiment_file: str | Path | None) -> EncoderDescription:
    try:
        return EncoderDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {path.parent} is not an exported encoder") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        unknown = any(item["type"] == "unknown_component" for item in error.errors())
        hint = ""
        if unknown and experiment_file is None:
            hint = "\nIf an experiment file defines the encoder, pass that file: load_encoder(folder, 'FILE.py')"
        elif unknown:
            hint = f"\n{experiment_file} does not define it"
        raise DataError(f"{path}: {describe(error)}{hint}") from error
