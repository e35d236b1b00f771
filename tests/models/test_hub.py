"""Fetching and pushing models, against a server on this machine that speaks the Hub's API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xdeepr
from tests import fake_hub
from tests.deepr_compat.checkpoints.folders import UNET, unet, write_diffusion
from xdeepr.errors import CheckpointError, DataUnavailableError, OptionError
from xdeepr.models.find import checkpoint_folder, from_hub
from xdeepr.models.hub import fetch, is_repo_id, push_to_hub
from xdeepr.models.page import model_page

REPO = "predictia/some_model"
FILES = {
    "config.json": b"{}",
    "pytorch_model.bin": bytes(range(256)) * 8,
    "unet/config.json": b"{}",
    "README.md": b"# hello",
    "picture.png": b"large",
    "code.py": b"print('never')",
    "logs/events.json": b"{}",
}
WANTED = {"config.json", "pytorch_model.bin", "unet/config.json", "README.md"}
TOKEN = "hf_abcDEF123456"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fake_hub.FakeHub]:
    """A Hub of our own, and a cache of our own."""
    import huggingface_hub

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    with fake_hub.running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("owner/name", True),
        ("me/italy-ddpm_v1.2", True),
        ("name", False),
        ("a/b/c", False),
        ("/a/b", False),
        ("./model", False),
        ("../model", False),
        ("~/model", False),
        ("owner/", False),
        ("owner/na me", False),
        ("owner/..", False),
        ("C:/model", False),
        (Path("owner/name"), False),
        ("", False),
        ("öwner/name", False),
    ],
)
def test_what_a_repository_is_named(name, right):
    assert is_repo_id(name) is right
    if not right and isinstance(name, str):
        with pytest.raises(OptionError, match=r"owner/name.*xdeepr\.load"):
            fetch(name)


# --- fetching ------------------------------------------------------------------------------------


def test_only_known_kinds_of_files_are_fetched(server):
    server.add(REPO, FILES)
    folder = fetch(REPO)
    assert content(folder) == {name: FILES[name] for name in WANTED}
    assert not [path for _, path, _ in server.requests if "code.py" in path or "png" in path]


def test_the_second_time_the_cache_serves(server, monkeypatch):
    server.add(REPO, FILES)
    folder = fetch(REPO)
    server.requests.clear()
    assert fetch(REPO) == folder
    assert not [
        path for method, path, _ in server.requests if method == "GET" and "resolve" in path
    ]
    server.requests.clear()
    assert fetch(REPO, local_files_only=True) == folder
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(REPO) == folder
    assert server.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # a reserved port, which refuses
    assert fetch(REPO) == folder


def test_a_server_in_trouble_does_not_hide_the_cache(server):
    server.add(REPO, FILES)
    folder = fetch(REPO)
    server.status = 503
    assert fetch(REPO) == folder
    server.add("predictia/other", FILES)
    with pytest.raises(DataUnavailableError, match=r"predictia/other is no folder.*cache.*503"):
        fetch("predictia/other")


def test_revisions(server):
    server.add(REPO, FILES)
    server.add(REPO, {**FILES, "config.json": b'{"new": 1}'}, revision="v2")
    assert content(fetch(REPO))["config.json"] == b"{}"
    assert content(fetch(REPO, revision="v2"))["config.json"] == b'{"new": 1}'
    with pytest.raises(DataUnavailableError, match=rf"{REPO}.*revision 'v3'.*leave revision out"):
        fetch(REPO, revision="v3")


def test_the_token_is_sent_and_never_shown(server):
    server.add(REPO, FILES)
    fetch(REPO, token=TOKEN)
    assert {token for *_, token in server.requests} == {TOKEN}
    server.denied[REPO] = (401, "RepoNotFound")
    with pytest.raises(DataUnavailableError) as raised:
        fetch(REPO, token=TOKEN, revision="x")
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    ("denial", "words"),
    [
        ((404, "RepoNotFound"), "no such model, or a private one.*token="),
        ((401, "RepoNotFound"), "no such model, or a private one.*token="),
        ((403, "GatedRepo"), r"ask for access on http://127\.0\.0\.1.*token="),
        ((403, "Forbidden"), "refused.*try again"),
        ((429, "TooMany"), "refused.*try again"),
    ],
)
def test_a_hub_that_says_no(server, denial, words):
    server.add(REPO, FILES)
    server.denied[REPO] = denial
    with pytest.raises(DataUnavailableError, match=rf"^{REPO}: the Hub at http.*{words}"):
        fetch(REPO)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("europe_reanalysis_downscaler_swin2sr", "europe_reanalysis_downscaler_convswin2sr"),
        ("europe_reanalysis_downscaler_diffuser", "sr_ddpm_mediterranean_reanalysis"),
    ],
)
def test_the_names_in_deeprs_readme(server, old, new, monkeypatch):
    with pytest.raises(DataUnavailableError, match=rf"{old}: .*today it is 'predictia/{new}'"):
        fetch(f"predictia/{old}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataUnavailableError, match=rf"Today it is named 'predictia/{new}'"):
        fetch(f"predictia/{old}")


@pytest.mark.parametrize("how", ["environment", "option", "refused"])
def test_without_a_connection_the_cure_is_named(server, how, monkeypatch, tmp_path):
    options = {}
    if how == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elif how == "option":
        options["local_files_only"] = True
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DataUnavailableError) as raised:
        fetch(REPO, **options)
    message = str(raised.value)
    assert os.environ["HF_ENDPOINT"] in message
    for word in (REPO, "models--predictia--some_model", "$HF_HOME", str(tmp_path / "hf")):
        assert word in message


def test_a_download_that_breaks_off(server):
    server.add(REPO, FILES)
    server.broken.add("pytorch_model.bin")
    with pytest.raises(DataUnavailableError, match=rf"{REPO}: fetching it from.*stopped.*again"):
        fetch(REPO)
    with pytest.raises(DataUnavailableError, match="not whole"):
        fetch(REPO, local_files_only=True)
    server.broken.clear()
    assert content(fetch(REPO)) == {name: FILES[name] for name in WANTED}


@pytest.mark.parametrize(
    "name",
    ["../outside.json", "/etc/outside.json", "a/../../outside.json", "a\\b.json", "C:x.json",
     "a\nb.json", ""],
)  # fmt: skip
def test_names_that_leave_the_folder_are_refused(server, name, tmp_path):
    server.add(REPO, FILES)
    server.listed[REPO] = [("config.json", 2), (name, 2)]
    with pytest.raises(CheckpointError, match=rf"{REPO}.*outside the model's folder.*nothing was"):
        fetch(REPO)
    assert not list(tmp_path.rglob("*outside*"))
    assert not [path for _, path, _ in server.requests if "resolve" in path]


def test_absurd_sizes_are_refused(server):
    server.add(REPO, FILES)
    server.listed[REPO] = [("config.json", 2), ("model.safetensors", 2**50), ("film.mp4", 1)]
    with pytest.raises(CheckpointError, match=rf"{REPO}.*1,048,576\.0 GiB.*nothing was fetched"):
        fetch(REPO)
    server.listed[REPO] = [("config.json", 2), ("film.mp4", 2**50)]  # not one that is fetched
    assert set(content(fetch(REPO))) == {"config.json"}


def test_a_repository_without_a_model(server):
    server.add(REPO, {"data.csv": b"1"})
    with pytest.raises(CheckpointError, match=rf"{REPO}.*no model of xdeepr"):
        fetch(REPO)


def test_in_a_process_of_its_own_without_a_network(tmp_path):
    """The environment alone decides, and the answer names what to do."""
    code = "from xdeepr.models.hub import fetch\nfetch('predictia/convswin2sr_mediterranean')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("xdeepr.errors.DataUnavailableError: predictia/convswin2sr_mediterr")
    assert str(tmp_path / "hub") in last


# --- models --------------------------------------------------------------------------------------


def test_push_and_load_again(server, small_model, italy_lr):
    server.writers["me"] = {TOKEN}
    url = push_to_hub(small_model, "me/italy", token=TOKEN, license="cc-by-4.0")
    assert url == f"{server.url}/me/italy/commit/{fake_hub.HEAD}"
    files = server.repos["me/italy"]["main"]
    assert set(files) >= {"card.json", "network.safetensors", "README.md"}
    assert not [name for name in files if name.endswith((".bin", ".pkl", ".py"))]
    assert re.fullmatch(r"Push tiny with xdeepr \S+", server.messages[-1])
    loaded = from_hub("me/italy")
    assert loaded.card.to_json() == small_model.card.to_json()
    lr = italy_lr.isel(time=[0])
    ours, theirs = (lr.deepr.downscale(m, steps=2, seed=3) for m in (small_model, loaded))
    np.testing.assert_array_equal(ours.t2m, theirs.t2m)


def test_push_again_to_a_branch_and_hidden(server, small_model):
    server.writers["me"] = {TOKEN}
    push_to_hub(small_model, "me/italy", token=TOKEN, private=True, commit_message="first")
    assert server.private == {"me/italy"}
    push_to_hub(small_model, "me/italy", token=TOKEN, revision="try", commit_message="second")
    assert server.messages == ["first", "second"]
    assert set(server.repos["me/italy"]) >= {"main", "try"}


def test_the_page_says_what_the_model_does(server, small_model):
    server.writers["me"] = {TOKEN}
    push_to_hub(small_model, "me/italy", token=TOKEN, license="cc-by-4.0")
    page = server.repos["me/italy"]["main"]["README.md"].decode()
    front = page.split("---")[1]
    for line in ("license: cc-by-4.0", "library_name: xdeepr", "- climate", "- downscaling"):
        assert line in front
    card = small_model.card
    start, stop = card.training["period"]
    for words in ("# tiny", "1 × 1°", "0.25 × 0.25° (×4)", "`t2m` [K]", start, stop,
                  card.training["domain"], 'model="me/italy"', card.diffusion.sampler):  # fmt: skip
        assert words in page
    usage = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    compile(usage.group(1), "README.md", "exec")


def test_scores_and_odd_names_on_the_page(small_model):
    card = replace(
        small_model.card,
        name="two\nlines | bar",
        training={**small_model.card.training, "scores": {"RMSE [K]": 0.92}},
    )
    page = model_page(card, "me/italy")
    assert "# two lines \\| bar\n" in page
    assert "| RMSE [K] | 0.92 |" in page
    assert page.startswith("---\n")
    assert "license: unknown" in page.split("---")[1]


def test_pushing_without_the_right(server, small_model, monkeypatch):
    server.writers["me"] = {TOKEN}
    with pytest.raises(DataUnavailableError, match=r"other/italy.*did not take.*token="):
        push_to_hub(small_model, "other/italy", token=TOKEN)
    with pytest.raises(OptionError, match="owner/name"):
        push_to_hub(small_model, "italy", token=TOKEN)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataUnavailableError, match=r"HF_HUB_OFFLINE.*save"):
        push_to_hub(small_model, "me/italy", token=TOKEN)
    assert server.repos == {}


def test_facts_are_for_models_of_deepr_only(server, small_model):
    server.writers["me"] = {TOKEN}
    push_to_hub(small_model, "me/italy", token=TOKEN)
    with pytest.raises(OptionError, match=r"factor=: me/italy is a model of xdeepr"):
        from_hub("me/italy", factor=4)


def test_a_model_of_xdeepr_is_used_where_the_cache_has_it(server, small_model):
    server.writers["me"] = {TOKEN}
    push_to_hub(small_model, "me/italy", token=TOKEN)
    assert checkpoint_folder("me/italy") == fetch("me/italy")


DEEPR = "predictia/sr_ddpm_mediterranean_reanalysis"


@pytest.fixture
def published(server, tmp_path) -> fake_hub.FakeHub:
    """The server with a small network under the name of one that DeepR published."""
    config = {**UNET, "sample_size": [160, 240]}
    folder = write_diffusion(tmp_path / "published", unet(config), config=config)
    server.add(DEEPR, content(folder))
    return server


def test_a_model_of_deepr_is_known_by_its_name(published):
    model = from_hub(DEEPR)
    assert model.card.name == "sr_ddpm_mediterranean_reanalysis"
    assert model.card.training["source"] == DEEPR
    assert model.card.time_features == {"hour": "class"}
    assert from_hub(DEEPR, name="mine").card.name == "mine"


def test_a_model_of_deepr_is_converted_once(published, monkeypatch):
    folder = checkpoint_folder(DEEPR)
    assert (folder / "card.json").is_file()
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert checkpoint_folder(DEEPR) == folder
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    assert xdeepr.load(folder).card.to_json() == from_hub(DEEPR).card.to_json()


def test_names_on_the_hub_are_models(published, small_model, italy_lr):
    """Wherever a model is named."""
    published.writers["me"] = {TOKEN}
    push_to_hub(small_model, "me/italy", token=TOKEN)
    assert xdeepr.load("me/italy").card.to_json() == small_model.card.to_json()
    lr = italy_lr.isel(time=[0])
    ours, theirs = (lr.deepr.downscale(m, steps=2, seed=3) for m in (small_model, "me/italy"))
    np.testing.assert_array_equal(ours.t2m, theirs.t2m)
    assert xdeepr.load(DEEPR).card.kind == "diffusion"
    with pytest.raises(DataUnavailableError, match=r"me/none.*no such.*there is none of this"):
        italy_lr.deepr.downscale(model="me/none")


def test_a_folder_of_deepr_says_how_it_is_loaded(published, tmp_path, italy_lr):
    for use in (xdeepr.load, italy_lr.deepr.downscale):
        with pytest.raises(CheckpointError, match=r"is a checkpoint of DeepR.*from_deepr"):
            use(tmp_path / "published")


def test_public_names():
    for name in ("from_deepr", "from_hub", "push_to_hub"):
        assert name in xdeepr.__all__
        assert callable(getattr(xdeepr, name))
