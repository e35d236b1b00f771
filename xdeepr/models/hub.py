"""Fetch models from the Hugging Face Hub, and push xdeepr's own there.

A model is fetched as a whole folder first and then read from there. What a server sends is data: no
file is asked for whose name leaves the folder or whose size is absurd, and none but the kinds
that xdeepr reads.

Three environment variables matter, as for every program that uses the Hub: ``HF_HOME`` (where the
cache is), ``HF_HUB_OFFLINE=1`` (use only the cache) and ``HF_ENDPOINT`` (address of a mirror).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from xdeepr._version import __version__
from xdeepr.errors import CheckpointError, DataUnavailableError, OptionError
from xdeepr.models.hub_answers import (
    RENAMED,
    answered,
    by_hand,
    endpoint,
    offline,
    reason,
    refused,
    unreachable,
)
from xdeepr.models.page import model_page
from xdeepr.models.saving import Model, save

PATTERNS = (
    "*.json",
    "*.safetensors",
    "pytorch_model.bin",
    "*/pytorch_model.bin",
    "diffusion_pytorch_model.bin",
    "*/diffusion_pytorch_model.bin",
    "README.md",
)
"""Files that are fetched; everything else in a repository is left there."""

IGNORED = ("logs/*", "samples/*")
"""Folders of training logs and pictures."""

MOST_BYTES = 2**34
"""A larger model is not fetched unasked; DeepR's largest has 257 MB."""

TIMEOUT = 10.0
"""Seconds that the server has for its first answer."""

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def is_repo_id(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the form ``owner/name`` of a repository on the Hub; a path is none."""
    return isinstance(name, str) and bool(_REPO_ID.fullmatch(name)) and ".." not in name


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the cached folder of a model on the Hub, fetching it the first time.

    The keywords are those of :func:`xdeepr.from_hub`. Do not write into the folder.
    """
    from huggingface_hub import HfApi

    _check_repo_id(repo_id)
    if local_files_only or offline():
        return _from_cache(repo_id, revision, cache_dir, "looking only into the cache")
    api = HfApi(endpoint=endpoint(), token=token, library_name="xdeepr")
    try:
        info = api.model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
    except unreachable() as error:
        if answered(error):
            raise refused(repo_id, revision, error) from None
        return _from_cache(repo_id, revision, cache_dir, reason(error))
    files = [(file.rfilename, file.size or 0) for file in info.siblings or ()]
    _check_files(repo_id, files)
    try:
        return _snapshot(
            repo_id,
            revision,
            cache_dir,
            token=token,
            endpoint=endpoint(),
            library_name="xdeepr",
            library_version=__version__,
        )
    except unreachable() as error:
        raise DataUnavailableError(
            f"{repo_id}: fetching it from {endpoint()} stopped ({reason(error)}). Try again:"
            f" what came whole is kept. {by_hand(repo_id, cache_dir)}"
        ) from None


def push_to_hub(
    model: Model,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    license: str = "unknown",
) -> str:
    """Push a model to the Hub, with a page that says what it does.

    Parameters
    ----------
    model : Downscaler
        What to push.
    repo_id : str
        ``"owner/name"``; the repository is made if there is none.
    private : bool, default: False
        Whether a new repository is hidden from others.
    token : str, optional
        Access token that may write. Default: the one of ``hf auth login`` or ``$HF_TOKEN``.
    revision : str, optional
        Branch to push to; made if there is none. Default: the main branch.
    commit_message : str, optional
        Default: says which version of xdeepr pushed which model.
    license : str, default: "unknown"
        Under which licence the weights are passed on, as the Hub writes it ("apache-2.0",
        "cc-by-4.0", …).

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    OptionError
        If the id has another form.
    DataUnavailableError
        If the Hub cannot be reached or does not let you write.

    Examples
    --------
    >>> import xdeepr
    >>> xdeepr.push_to_hub(model, "me/italy-ddpm", license="cc-by-4.0")  # doctest: +SKIP
    """
    from huggingface_hub import HfApi

    _check_repo_id(repo_id)
    if offline():
        raise DataUnavailableError(
            f"{repo_id}: HF_HUB_OFFLINE is set, so nothing can be pushed. Unset it, or keep the"
            " model with model.save(...)."
        )
    api = HfApi(endpoint=endpoint(), token=token, library_name="xdeepr")
    message = commit_message or f"Push {model.card.name} with xdeepr {__version__}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = save(model, Path(scratch) / "model")
        page = model_page(model.card, repo_id, license=license)
        (folder / "README.md").write_text(page, encoding="utf-8")
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision, commit_message=message
            )
        except unreachable() as error:
            raise DataUnavailableError(
                f"{repo_id}: the Hub at {endpoint()} did not take the model ({reason(error)})."
                " Check that the owner's name is yours, and log in with `hf auth login` or give a"
                " token= that may write. The model itself is safe: keep it with model.save(...)."
            ) from None
    return str(commit.commit_url)


# --- what may be fetched --------------------------------------------------------------------------


def _check_repo_id(repo_id: str) -> None:
    """Refuse what is no id of a repository."""
    if not is_repo_id(repo_id):
        raise OptionError(
            f"repo_id={repo_id!r}: a model on the Hub is named 'owner/name', for example"
            " 'predictia/convswin2sr_mediterranean'. For a folder use xdeepr.load(...)."
        )


def _check_files(repo_id: str, files: Iterable[tuple[str, int]]) -> None:
    """Refuse a repository whose files would leave the folder, or fill the disk."""
    wanted = []
    for name, size in files:
        path = PurePosixPath(name)
        odd = path.is_absolute() or ".." in path.parts or re.search(r"[\\:\x00-\x1f]", name)
        if odd or not name:
            raise CheckpointError(
                f"{repo_id}: the server names a file {name!r}, which would lie outside the model's"
                " folder: it was made to do harm, so nothing was fetched. Do not use this"
                " repository, or this mirror of the Hub."
            )
        if _is_wanted(name):
            wanted.append(size)
    if not wanted:
        raise CheckpointError(
            f"{repo_id}: none of its files is of a kind that xdeepr reads ({', '.join(PATTERNS)}):"
            " it is no model of xdeepr or DeepR."
        )
    if sum(wanted) > MOST_BYTES:
        raise CheckpointError(
            f"{repo_id}: its files have {sum(wanted) / 2**30:,.1f} GiB, more than the"
            f" {MOST_BYTES / 2**30:.0f} GiB that a downscaling model can need, so nothing was"
            " fetched. If they are what you want, fetch them by other means and load the folder."
        )


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, p) for p in PATTERNS) and not any(fnmatch(name, p) for p in IGNORED)


def _from_cache(
    repo_id: str, revision: str | None, cache_dir: str | os.PathLike[str] | None, why: str
) -> Path:
    """Return the folder of a model that was fetched before."""
    try:
        return _snapshot(repo_id, revision, cache_dir, local_files_only=True)
    except (OSError, ValueError):
        at = f" at revision {revision!r}" if revision else ""
        hint = f" Today it is named {RENAMED[repo_id]!r}." if repo_id in RENAMED else ""
        raise DataUnavailableError(
            f"{repo_id}{at} is no folder, is not in the cache or not whole there, and the Hub at"
            f" {endpoint()} was not reached ({why}).{hint} {by_hand(repo_id, cache_dir)}"
        ) from None


def _snapshot(
    repo_id: str, revision: str | None, cache_dir: str | os.PathLike[str] | None, **how: Any
) -> Path:
    """Return the folder that huggingface_hub makes of the files of a model that are read."""
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo_id,
        revision=revision,
        cache_dir=None if cache_dir is None else os.fspath(cache_dir),
        allow_patterns=list(PATTERNS),
        ignore_patterns=list(IGNORED),
        **how,
    )
    return Path(folder)
