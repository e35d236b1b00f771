"""Example data from a server that behaves, one that lies, one that stops half-way and none."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from xdeepr import datasets
from xdeepr.errors import DataUnavailableError, OptionError

# The smallest file of the registry; the server's stand-in for it is made below.
NAME = "mogreps-uk/ukv_t_plus_orog_120x110/ukvx_landmask.nc"
CONTENT = bytes(range(256)) * 64


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; under /half/ it promises a whole file and hangs up in the middle."""

    def do_GET(self) -> None:
        if not self.path.startswith("/half/"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a local server whose /right/ and /wrong/ folders hold NAME."""
    root = tmp_path / "www"
    for folder, content in (("right", CONTENT), ("wrong", CONTENT[::-1])):
        path = root / folder / NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache; the registry expects CONTENT under NAME."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / project)
    for variable in (datasets.DATA_DIR_VARIABLE, datasets.DATA_URL_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    original = datasets._storage

    def storage(base_url: str | None = None) -> object:
        described = original(base_url)
        described.registry[NAME] = hashlib.sha256(CONTENT).hexdigest()
        return described

    monkeypatch.setattr(datasets, "_storage", storage)
    return folder / "xdeepr"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_right_file_is_downloaded_once(server: str, cache: Path) -> None:
    path = datasets.fetch_file(NAME, base_url=f"{server}/right", progress=False)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert files_in(cache) == [path]
    # The second time no server is needed.
    assert datasets.fetch_file(NAME, base_url="http://127.0.0.1:1", progress=False) == path


def test_mirror_from_the_environment(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.DATA_URL_VARIABLE, f"{server}/right/")
    assert datasets.fetch_file(NAME, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("folder", ["wrong", "half", "absent"])
def test_bad_answer_leaves_nothing_behind(server: str, cache: Path, folder: str) -> None:
    base_url = f"{server}/{folder}"
    with pytest.raises(DataUnavailableError) as raised:
        datasets.fetch_file(NAME, base_url=base_url, progress=False)
    message = str(raised.value)
    assert f"{base_url}/{NAME}" in message
    assert str((cache / NAME).parent) in message
    assert files_in(cache) == []


def test_server_down_names_file_address_and_folder(cache: Path) -> None:
    # Port 1 is reserved and refuses.
    with pytest.raises(DataUnavailableError) as raised:
        datasets.fetch_file(NAME, base_url="http://127.0.0.1:1", progress=False)
    message = str(raised.value)
    assert f"http://127.0.0.1:1/{NAME}" in message
    assert str((cache / NAME).parent) in message
    assert hashlib.sha256(CONTENT).hexdigest() in message
    assert datasets.DATA_DIR_VARIABLE in message


def test_good_file_replaces_damaged_one_in_the_cache(server: str, cache: Path) -> None:
    path = cache / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(DataUnavailableError):
        datasets.fetch_file(NAME, base_url=f"{server}/half", progress=False)
    datasets.fetch_file(NAME, base_url=f"{server}/right", progress=False)
    assert path.read_bytes() == CONTENT
    assert files_in(cache) == [path]


def test_own_folder_is_used_without_network(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    (own / NAME).parent.mkdir(parents=True)
    (own / NAME).write_bytes(CONTENT)
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(own))
    path = datasets.fetch_file(NAME, base_url="http://127.0.0.1:1", progress=False)
    assert path == own / NAME
    assert not cache.exists()


def test_other_file_in_own_folder_is_refused_and_kept(
    server: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / NAME
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(tmp_path / "own"))
    with pytest.raises(DataUnavailableError, match="never overwritten"):
        datasets.fetch_file(NAME, base_url=f"{server}/right", progress=False)
    assert own.read_bytes() == b"mine"


def test_missing_file_is_downloaded_into_own_folder(
    server: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(tmp_path / "own"))
    path = datasets.fetch_file(NAME, base_url=f"{server}/right", progress=False)
    assert path == tmp_path / "own" / NAME
    assert not cache.exists()


def test_folder_that_cannot_be_made_is_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(tmp_path / "file" / "folder"))
    with pytest.raises(DataUnavailableError, match=re.escape(NAME)):
        datasets.fetch_file(NAME, progress=False)


@pytest.mark.parametrize(("progress", "said"), [(True, True), (False, False)])
def test_silent_when_asked(
    server: str, cache: Path, capfd: pytest.CaptureFixture[str], progress: bool, said: bool
) -> None:
    datasets.fetch_file(NAME, base_url=f"{server}/right", progress=progress)
    captured = capfd.readouterr()
    assert bool(captured.out + captured.err) is said


def test_unknown_names_are_refused(cache: Path) -> None:
    with pytest.raises(OptionError, match=r"era5/ERA5_const_sfc_variables\.nc"):
        datasets.fetch_file("era5/nothing.nc")
    with pytest.raises(OptionError, match="'snow' is not one of air_temperature, wind_speed"):
        datasets.fetch_mogreps_uk("snow")  # type: ignore[arg-type]


def test_addresses_are_pinned_to_a_commit() -> None:
    storage = datasets._storage()
    assert len(storage.registry) == 23
    pinned = re.compile(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")
    for name in storage.registry_files:
        assert pinned.fullmatch(storage.get_url(name))


def test_registry_agrees_with_the_real_files(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(data_dir))
    storage = datasets._storage()
    for path, name in zip(datasets.fetch_all(progress=False), storage.registry_files, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == storage.registry[name]


def test_real_files_open_ready_for_use(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(data_dir))
    italy = datasets.open_era5_italy(chunks={"time": 48})
    assert dict(italy.t2m.sizes) == {"time": 488, "latitude": 43, "longitude": 48}
    assert italy.t2m.chunks is not None
    static = datasets.open_era5_static()
    assert static.z.dims == static.lsm.dims == ("latitude", "longitude")
    assert "surface_altitude" in datasets.open_ukv_orography()
    land = datasets.open_mogreps_uk_static()
    wind = datasets.open_mogreps_uk("wind_speed")
    assert wind.sizes["time"] == 4
    assert wind.sizes["realization"] == 12
    assert wind.indexes["time"].is_monotonic_increasing
    assert wind[wind.wind_speed.attrs["grid_mapping"]].ndim == 0
    assert wind.projection_x_coordinate_bnds.ndim == 2
    np.testing.assert_array_equal(land.projection_x_coordinate, wind.projection_x_coordinate)


def test_grib_opens_and_leaves_no_index(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cfgrib")
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(data_dir))
    uk = datasets.open_era5_uk()
    assert dict(uk.t2m.sizes) == {"time": 744, "latitude": 33, "longitude": 49}
    assert uk.t2m.attrs["units"] == "K"
    assert not list((data_dir / "era5").glob("*.idx"))


def test_grib_without_cfgrib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdeepr.datasets.util.find_spec", lambda name: None)
    with pytest.raises(DataUnavailableError, match=r"pip install 'xdeepr\[grib\]'"):
        datasets.open_era5_uk()
