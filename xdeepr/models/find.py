"""Find a model by folder, short name or id on the Hub, and load it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdeepr._version import __version__
from xdeepr.checks import nearest
from xdeepr.errors import OptionError
from xdeepr.models.cache import cache_folder, store
from xdeepr.models.card import CARD_VERSION
from xdeepr.models.checkpoint import load_folder
from xdeepr.models.foreign import foreign
from xdeepr.models.hub import fetch, is_repo_id
from xdeepr.models.stored_arrays import CARD
from xdeepr.tiling.interpolation import METHODS

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the checkpoints that come with the package."""


def load(model: str | os.PathLike[str]) -> Downscaler:
    """Load a model; the training data is not needed.

    Parameters
    ----------
    model : str or path-like
        A folder written by :meth:`xdeepr.Downscaler.save`, or the short name of a checkpoint
        that ships with xdeepr.

    Raises
    ------
    OptionError
        If there is no such folder or name.
    CheckpointError
        If a file is damaged, missing or of an unknown version.

    Examples
    --------
    >>> import xdeepr
    >>> xdeepr.load("ddpm").card.factor
    4
    """
    return load_folder(locate(model))


def locate(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a checkpoint given by path, short name or id on the Hub."""
    path = Path(model)
    if path.is_dir():
        return path
    name = os.fspath(model)
    if (SHIPPED / name / CARD).is_file():
        return SHIPPED / name
    if is_repo_id(model):
        return checkpoint_folder(name)
    near = nearest(name, [*shipped_names(), *METHODS])
    raise OptionError(
        f"model={name!r} is neither a folder nor a known name. Nearest names: {', '.join(near)}."
        " A model of your own is the folder that model.save(...) wrote."
    )


def shipped_names() -> list[str]:
    """Return the short names of the checkpoints that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{CARD}"))


def from_hub(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    **facts: Any,
) -> Downscaler:
    """Load a model from the Hub: one of xdeepr's own, or one that DeepR published.

    Parameters
    ----------
    repo_id : str
        ``"owner/name"``.
    revision : str, optional
        Branch, tag or commit. Default: the main branch.
    token : str or bool, optional
        Access token for private and gated models. Default: the one of ``hf auth login`` or
        ``$HF_TOKEN``; False sends none.
    cache_dir : path-like, optional
        Where fetched models are kept. Default: ``$HF_HOME/hub``.
    local_files_only : bool, default: False
        Look only into the cache.
    **facts : Any
        What a checkpoint of DeepR does not say: keywords of :func:`xdeepr.from_deepr`.

    Raises
    ------
    OptionError
        If the id has another form.
    DataUnavailableError
        If the model is not there, may not be read, or the Hub cannot be reached.
    CheckpointError
        If the repository holds no model, or files whose names or sizes are not to be trusted.
        Also as :func:`xdeepr.load` and :func:`xdeepr.from_deepr`.

    Examples
    --------
    >>> import xdeepr
    >>> model = xdeepr.from_hub("predictia/convswin2sr_mediterranean")  # doctest: +SKIP
    """
    folder = fetch(
        repo_id,
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
    )
    if (folder / CARD).is_file():
        if facts:
            raise OptionError(
                f"{min(facts)}=: {repo_id} is a model of xdeepr, whose card says everything. Leave"
                f" {', '.join(sorted(facts))} out."
            )
        return load(folder)
    return foreign().from_deepr(folder, known_as=repo_id, **facts)


def checkpoint_folder(repo_id: str, **options: Any) -> Path:
    """Return a folder in xdeepr's own layout for a model on the Hub; options as :func:`fetch`.

    A model of xdeepr is used where the Hub's cache has it. One of DeepR's is converted once for
    each revision and kept in xdeepr's cache.
    """
    folder = fetch(repo_id, **options)
    if (folder / CARD).is_file():
        return folder
    # the name of the folder is the commit; another version of xdeepr may convert in another way
    name = f"{repo_id.replace('/', '--')}--{folder.name}--v{__version__}-card{CARD_VERSION}"
    kept = cache_folder() / name
    if not (kept / CARD).is_file():
        store(foreign().from_deepr(folder, known_as=repo_id), name)
    return kept
