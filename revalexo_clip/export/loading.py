"""Load an exported encoder or classifier. No code from its folder is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import torch
from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export.classifier import ExportedClassifier, build_classifier
from revalexo_clip.export.classifier_description import ClassifierDescription
from revalexo_clip.export.description import (
    CARD,
    DESCRIPTION,
    WEIGHTS,
    EncoderDescription,
    FolderDescription,
    Noun,
    noun_of,
)
from revalexo_clip.export.encoder import PretrainedEncoder, build_encoder
from revalexo_clip.export.exported import Exported
from revalexo_clip.export.hub import HubOptions, download_folder, repository_named

_DESCRIBED = "description"
"""Entry of a weight file's metadata: `FolderDescription.what_weights_fit` as JSON text."""

_STANDARDIZATION = ("samples.mean", "samples.std")
"""Tensors that `config.json` contains, too."""

_SHOWN = 5

D = TypeVar("D", bound=FolderDescription)
E = TypeVar("E", bound=Exported)


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
    return _load(folder, EncoderDescription, build_encoder, experiment_file, options)


def load_classifier(
    folder: str | Path,
    experiment_file: str | Path | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> ExportedClassifier:
    """Load the activity classifier of an exported folder, in eval mode on the CPU. No code from the folder is run.

    `experiment_file` defines the encoder or the head if they are not part of this package. The other arguments, and
    what is raised, are those of `load_encoder`.
    """
    options = HubOptions(revision, token, None if cache_dir is None else Path(cache_dir), local_files_only)
    return _load(folder, ClassifierDescription, build_classifier, experiment_file, options)


def _load(
    place: str | Path,
    kind: type[D],
    build: Callable[[D], E],
    experiment_file: str | Path | None,
    options: HubOptions,
) -> E:
    repo = repository_named(place, options)
    if experiment_file is not None:
        import_experiment_file(Path(experiment_file))
    folder = Path(place) if repo is None else _download(repo, kind, options, experiment_file)
    description = _read_description(folder / DESCRIPTION, kind, experiment_file)
    path = folder / WEIGHTS
    weights, settings = _read_weights(path, description.noun)
    _refuse_other_sizes(folder, description, build, weights)
    module = _build(folder, description, build)
    _load_into(module, description, weights, path)
    _refuse_other_standardization(folder, description, module)
    if settings is not None:
        _refuse_other_settings(path, settings, description)
    return module.eval()


def _download(repo: str, kind: type[D], options: HubOptions, experiment_file: str | Path | None) -> Path:
    """Download an export from the hub: its description first, and the weights only if it is one of this kind."""
    folder, noun = download_folder(repo, [DESCRIPTION], options), kind.noun
    try:
        described: object = json.loads((folder / DESCRIPTION).read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{repo}: is not an exported {noun}: it has no {DESCRIPTION}") from error
    except ValueError as error:
        raise DataError(f"{repo}: {DESCRIPTION} is not JSON: {error}") from error
    if noun_of(described) != noun:
        raise ConfigError(f"{repo}: is not an exported {noun}: its {DESCRIPTION} describes something else")
    _read_description(folder / DESCRIPTION, kind, experiment_file)
    return download_folder(repo, [DESCRIPTION, WEIGHTS, CARD], replace(options, revision=folder.name))


def _refuse_other_standardization(folder: Path, description: FolderDescription, module: Exported) -> None:
    imu = description.imu_input
    for name, stored in module.named_buffers():
        if name in _STANDARDIZATION and imu is not None:
            described = torch.tensor(getattr(imu, name.rpartition(".")[2]))
            if not torch.equal(stored, described):
                raise DataError(
                    f"{folder / DESCRIPTION}: imu.{name.rpartition('.')[2]} differs from {name} in {WEIGHTS}; one of "
                    "the two files was changed"
                )


def weights_metadata(description: FolderDescription) -> dict[str, str]:
    """Return the metadata of a weight file: the part of the description that determines its outputs.

    So a description that was changed later, such as channels in another order, does not pass. It is the only entry,
    because safetensors writes several in random order.
    """
    return {_DESCRIBED: json.dumps(description.what_weights_fit(), sort_keys=True)}


def _read_weights(path: Path, noun: Noun) -> tuple[dict[str, Tensor], str | None]:
    """Read the weights, and the settings in their metadata. Raises `DataError` if they cannot be read or are NaN."""
    try:
        weights = load_file(path)
        with safe_open(path, "pt") as file:
            settings = (file.metadata() or {}).get(_DESCRIBED)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing from this {noun} folder") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: corrupt, or not a safetensors file: {error}") from error
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise DataError(f"{path}: {', '.join(broken[:_SHOWN])}: values must be finite; export the {noun} again")
    return weights, settings


def _refuse_other_settings(path: Path, text: str, description: FolderDescription) -> None:
    """Raise `DataError` if a description is not the one that weights were written with."""
    try:
        written = json.loads(text) | {"origin": description.origin.model_dump(mode="json")}
        before = type(description).model_validate(written).what_weights_fit()
    except (ValueError, TypeError) as error:  # JSON or fields
        raise DataError(f"{path}: corrupt: its metadata describe no {description.noun}") from error
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


def _refuse_other_sizes(folder: Path, description: D, build: Callable[[D], E], weights: Mapping[str, Tensor]) -> None:
    """Raise `DataError` if weights have other sizes, before memory is taken for the sizes in a damaged description.

    Components of others are not built without memory, because their code may not expect it.
    """
    if not _is_built_in(description):
        return
    try:
        with torch.device("meta"):
            module = _build(folder, description.to_check_sizes(), build)
    except _WithoutMemory:
        return
    on_meta = {name: tensor.to("meta") for name, tensor in weights.items()}
    _load_into(module, description, on_meta, folder / WEIGHTS, strict=False)


class _WithoutMemory(Exception):  # noqa: N818 (not an error)
    """A module needs numbers to be built, which tensors without memory do not have."""


def _is_built_in(description: FolderDescription) -> bool:
    return all(type(one).__module__.startswith("revalexo_clip.") for one in description.components)


def _build(folder: Path, description: D, build: Callable[[D], E]) -> E:
    """Build a module. Raises `DataError` if it cannot be built as described."""
    try:
        return build(description)
    except ConfigError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}") from error
    except (RuntimeError, TypeError, OverflowError, MemoryError) as error:  # sizes that torch cannot express or store
        if "meta" in str(error):
            raise _WithoutMemory from error
        if not _is_built_in(description):
            raise
        cause = shorten((str(error).splitlines() or [type(error).__name__])[0], 200, placeholder=" ...")
        raise DataError(
            f"{folder / DESCRIPTION}: no {description.noun} of these sizes can be built: {cause}"
        ) from error


def _load_into(
    module: Exported,
    description: FolderDescription,
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    strict: bool = True,
) -> None:
    try:
        module.load_state_dict(weights, strict=strict)
    except RuntimeError as error:  # names or shapes differ
        differences = shorten(str(error), 500, placeholder=" ...")
        raise DataError(
            f"{path}: the weights do not fit the {description.noun} in {DESCRIPTION}: {differences}"
        ) from error


def _read_description(path: Path, kind: type[D], experiment_file: str | Path | None) -> D:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {path.parent} is not an exported {kind.noun}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        other = _other_noun(content, kind)
        if other is not None:
            raise ConfigError(f"{path.parent} is an exported {other}: load it with load_{other}") from error
        unknown = any(item["type"] == "unknown_component" for item in error.errors())
        hint = ""
        if unknown and experiment_file is None:
            hint = (
                f"\nIf an experiment file defines the {kind.noun}, pass that file: load_{kind.noun}(folder, 'FILE.py')"
            )
        elif unknown:
            hint = f"\n{experiment_file} does not define it"
        raise DataError(f"{path}: {describe(error)}{hint}") from error


def _other_noun(content: bytes, kind: type[FolderDescription]) -> Noun | None:
    """Return what a folder with this description holds, if it is not what was expected."""
    try:
        found = noun_of(json.loads(content))
    except ValueError:
        return None
    return None if found == kind.noun else found
