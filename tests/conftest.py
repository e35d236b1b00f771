"""Shared fixtures: real data, a seeded random generator, and no network."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"tests may not use the network (tried {address[0]})")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep models that tests make out of the user's cache."""
    os.environ["XDEEPR_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data; in CI it must be there."""
    folder = Path(os.environ.get("XDEEPR_DATA_DIR") or SHARED)
    if not (folder / "era5").is_dir():
        message = f"real data not found in {folder}: set XDEEPR_DATA_DIR to its folder"
        if os.environ.get("CI") == "true" and SHARED.parent.is_dir():
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same numbers in every run."""
    return np.random.default_rng(20240611)
