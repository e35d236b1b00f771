"""What the Hub answers, or that it does not: settings, and errors that name the cure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from xdeepr.errors import DataUnavailableError

RENAMED: Mapping[str, str] = {
    "predictia/europe_reanalysis_downscaler_swin2sr": (
        "predictia/europe_reanalysis_downscaler_convswin2sr"
    ),
    "predictia/europe_reanalysis_downscaler_diffuser": "predictia/sr_ddpm_mediterranean_reanalysis",
}
"""Repositories that DeepR's README names -> those that hold these models today."""

_TRUE = {"1", "ON", "YES", "TRUE"}


def endpoint() -> str:
    """Return the address of the Hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def offline() -> bool:
    """Whether the user wants no connection."""
    from huggingface_hub import constants

    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE or constants.HF_HUB_OFFLINE


def unreachable() -> tuple[type[Exception], ...]:
    """Return the kinds of errors that a connection to the Hub may end with.

    The HTTP library's own are no OSError, and which library it is depends on the version of
    huggingface_hub: they are found as ancestors of its errors.
    """
    from huggingface_hub.errors import HfHubHTTPError

    roots = [c for c in HfHubHTTPError.__mro__ if c.__name__ in ("HTTPError", "RequestException")]
    return (*roots, OSError, ValueError)


def answered(error: Exception) -> bool:
    """Whether the server said no, rather than nothing."""
    from huggingface_hub.errors import HfHubHTTPError

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 500)
    return isinstance(error, HfHubHTTPError) and status < 500


def refused(repo_id: str, revision: str | None, error: Exception) -> DataUnavailableError:
    """Return the error for a Hub that said no."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"the Hub at {endpoint()}"
    if isinstance(error, GatedRepoError):
        text = (
            f"{at} gives it only to those whom its owner has let in: ask for access on"
            f" {endpoint()}/{repo_id}, then log in with `hf auth login` or give token=."
        )
    elif isinstance(error, RevisionNotFoundError):
        text = f"{at} has no revision {revision!r} of it: leave revision out, or name another."
    elif isinstance(error, RepositoryNotFoundError):
        text = (
            f"{at} has no such model, or a private one: check the id, or log in with"
            " `hf auth login` or give token=. If a folder is meant: there is none of this name."
        )
        if repo_id in RENAMED:
            text = f"{at} has no such model; today it is {RENAMED[repo_id]!r}."
    else:
        text = f"{at} refused ({reason(error)}): try again later."
    return DataUnavailableError(f"{repo_id}: {text}")


def by_hand(repo_id: str, cache_dir: str | os.PathLike[str] | None) -> str:
    """Say how to get a model to a machine without a connection."""
    from huggingface_hub import constants

    folder = f"models--{repo_id.replace('/', '--')}"
    cache = Path(cache_dir or constants.HF_HUB_CACHE)
    return (
        f"Without a connection: fetch it on another machine and copy the folder {folder} from its"
        f" $HF_HOME/hub to {cache}, or copy the model's files to any folder and load that."
    )


def reason(error: Exception) -> str:
    """Return the first line of an error, without what could be a token."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {re.sub(r'hf_[A-Za-z0-9]+', 'hf_…', text)}"[:300]
