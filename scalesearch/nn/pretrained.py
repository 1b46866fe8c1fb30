"""The file of a timm model's pretrained weights: in the hub's or torch's cache, or fetched into it.

The cache is asked first, so that nothing waits for a network that is not there. May import timm and huggingface_hub.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from timm.models import PretrainedCfg, get_pretrained_cfg
from timm.models._hub import download_cached_file, hf_split

from scalesearch.inputs.quoting import shortened

NAMES = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in a model's repository on the hub, in the order in which timm looks for them."""
SECONDS = 5.0
"""How long the server of the weights may take to answer before it counts as out of reach."""


def pretrained_config(name: str) -> PretrainedCfg | None:
    """Return timm's description of the pretrained weights of its model `name`; None without any."""
    known = get_pretrained_cfg(name)
    return known if known is not None and known.has_weights else None


def pretrained_file(name: str) -> Path:
    """Return the file of timm's pretrained weights of its model `name`, fetched where no cache has it.

    Raises ValueError, at once where there is no network, for weights that do not exist or cannot be fetched.
    """
    known = pretrained_config(name)
    if known is None:
        raise ValueError(
            f"timm has no pretrained weights of {name!r}: take a name with weights, weights: FILE, or pretrained: false"
        )
    if file := _cached(known):
        return file
    try:
        _check_reached(constants.ENDPOINT if known.hf_hub_id else str(known.url))
        return _fetched(known)
    except Exception as error:
        # Whatever the client of the hub raises: httpx's errors, its own, the system's.
        reason = shortened(" ".join(str(error).split()) or type(error).__name__, 100)
        raise ValueError(
            f"the pretrained weights of timm's {name!r} are not in the cache {_cache(known)} and could not be fetched "
            f"({reason}): run this once where there is a network, or give weights: FILE, or pretrained: false"
        ) from error


def _cache(known: PretrainedCfg) -> Path:
    return Path(constants.HF_HUB_CACHE) if known.hf_hub_id else Path(torch.hub.get_dir()) / "checkpoints"


def _names(known: PretrainedCfg) -> tuple[str, ...]:
    return (known.hf_hub_filename,) if known.hf_hub_filename else NAMES


def _cached(known: PretrainedCfg) -> Path | None:
    if not known.hf_hub_id:
        file = _cache(known) / str(known.url).rpartition("/")[2]
        return file if file.is_file() else None
    repository, revision = hf_split(known.hf_hub_id)
    for name in _names(known):
        found = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _check_reached(url: str) -> None:
    """Raise OSError where the server does not answer: the hub's client would try again for a minute."""
    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # it answers


def _fetched(known: PretrainedCfg) -> Path:
    if not known.hf_hub_id:
        return Path(download_cached_file(str(known.url)))
    repository, revision = hf_split(known.hf_hub_id)
    *others, last = _names(known)
    for name in others:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except LocalEntryNotFoundError:  # the hub did not answer: no other name would fare better
            raise
        except EntryNotFoundError:
            continue
    return Path(huggingface_hub.hf_hub_download(repository, last, revision=revision))
