"""Checkpoints: whole, checked, and never half replaced."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import xdeepr
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.models.card import CARD_VERSION
from xdeepr.models.checkpoint import load_card
from xdeepr.models.find import SHIPPED, locate, shipped_names
from xdeepr.models.saving import CURVE, WEIGHTS
from xdeepr.models.stored_arrays import CARD, COVARIATES


@pytest.fixture
def copied(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copied"))


def edit(folder: Path, change) -> None:
    """Change the JSON card of a checkpoint."""
    outer = json.loads((folder / CARD).read_text())
    change(outer)
    (folder / CARD).write_text(json.dumps(outer))


def test_round_trip(small_model, checkpoint):
    loaded = xdeepr.load(checkpoint)
    assert loaded.card == small_model.card
    assert loaded.curve == small_model.curve
    ours, theirs = small_model.network.state_dict(), loaded.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    np.testing.assert_array_equal(
        loaded.covariate_arrays["values"], small_model.covariate_arrays["values"]
    )
    assert not loaded.network.training
    assert repr(loaded) == repr(small_model)


def test_same_numbers_from_object_and_folder(small_model, checkpoint, italy_lr):
    lr = italy_lr.isel(time=[0])
    ours, theirs = (
        lr.deepr.downscale(m, members=2, steps=2, seed=3) for m in (small_model, checkpoint)
    )
    np.testing.assert_array_equal(ours.t2m, theirs.t2m)
    assert ours.attrs["xdeepr_checkpoint"] == theirs.attrs["xdeepr_checkpoint"]


def test_only_safetensors_and_json(checkpoint):
    assert {p.suffix for p in checkpoint.iterdir()} == {".json", ".safetensors"}


def test_the_digest_tells_models_apart(checkpoint, wind_model, copied, tmp_path):
    _, digest = load_card(checkpoint)
    assert load_card(copied)[1] == digest
    wind = wind_model.save(tmp_path / "wind")
    assert load_card(wind)[1] != digest
    edit(copied, lambda outer: outer["sha256"].update({WEIGHTS: "0" * 64}))
    assert load_card(copied)[1] != digest


@pytest.mark.parametrize("name", [WEIGHTS, COVARIATES, CURVE])
def test_damaged_and_missing_files(name, copied):
    file = copied / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=rf"{name}.*SHA-256[\s\S]*again"):
        xdeepr.load(copied)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=name):
        xdeepr.load(copied)
    file.unlink()
    with pytest.raises(CheckpointError, match=rf"lacks {name}.*again"):
        xdeepr.load(copied)


def test_weights_that_do_not_fit_the_card(copied):
    """Consistent hashes, but another network."""
    edit(copied, lambda o: o["card"]["network"]["config"].update(block_out_channels=[8, 16, 24]))
    with pytest.raises(CheckpointError, match=r"size mismatch[\s\S]*again"):
        xdeepr.load(copied)
    edit(copied, lambda o: o["card"]["network"]["config"].update(colour="blue"))
    with pytest.raises(CheckpointError, match="colour"):
        xdeepr.load(copied)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda o: o["card"].update(version=CARD_VERSION + 1), "version .*install a newer"),
        (lambda o: o["card"].update(version="one"), "version 'one'"),
        (lambda o: o["card"].pop("factor"), "expected keys.*again"),
        (lambda o: o["card"].update(extra=1), "expected keys.*extra"),
        (lambda o: o.pop("sha256"), "damaged.*sha256"),
        (lambda o: o.update(card=[1, 2]), "version None"),
    ],
    ids=["newer", "odd version", "lacks a key", "unknown key", "no hashes", "no mapping"],
)
def test_cards_that_cannot_be_read(change, words, copied, italy_lr):
    edit(copied, change)
    for use in (xdeepr.load, italy_lr.deepr.downscale):
        with pytest.raises(CheckpointError, match=words):
            use(copied)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null"])
def test_a_card_that_is_no_json(content, copied, italy_lr):
    (copied / CARD).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*again"):
        italy_lr.deepr.downscale(copied)


def test_a_checkpoint_that_changes_after_planning(copied, wind_model, italy_lr):
    out = italy_lr.isel(time=[0]).deepr.downscale(copied, steps=1, seed=9)
    from xdeepr.models import cache as model_cache

    model_cache._LOADED.clear()
    wind_model.save(copied, overwrite=True)
    with pytest.raises(CheckpointError, match="has changed since"):
        out.compute()


# --- saving --------------------------------------------------------------------------------------


def test_nothing_is_overwritten_unasked(small_model, copied, tmp_path):
    with pytest.raises(CheckpointError, match="overwrite=True"):
        small_model.save(copied)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="exists already"):
        small_model.save(notes, overwrite=True)
    assert (notes / "thesis.txt").read_text() == "years of work"


def test_overwrite_leaves_nothing_behind(wind_model, copied):
    assert wind_model.save(copied, overwrite=True) == copied
    assert xdeepr.load(copied).card.name == "wind"
    assert [p.name for p in copied.parent.iterdir()] == ["copied"]


def test_a_save_that_fails_leaves_the_old_checkpoint(wind_model, copied, monkeypatch):
    def full_disk(self, *args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        wind_model.save(copied, overwrite=True)
    monkeypatch.undo()
    assert [p.name for p in copied.parent.iterdir()] == ["copied"]
    assert xdeepr.load(copied).card.name == "tiny"


def test_folders_are_made_and_text_paths_taken(small_model, tmp_path):
    path = small_model.save(str(tmp_path / "a" / "b" / "model") + "/")
    assert xdeepr.load(str(path)).card == small_model.card


# --- finding -------------------------------------------------------------------------------------


def test_unknown_names():
    with pytest.raises(OptionError, match=r"'bicubi'.*Nearest names: bicubic"):
        xdeepr.load("bicubi")
    with pytest.raises(OptionError, match=r"model\.save"):
        locate("no/such/folder")


def test_shipped_checkpoints_load():
    for name in shipped_names():
        assert xdeepr.load(name).card.version == CARD_VERSION


def test_reading_a_card_imports_no_torch(checkpoint):
    code = (
        "import sys; from xdeepr.models import checkpoint, stored_arrays\n"
        f"card, _ = checkpoint.load_card({str(checkpoint)!r})\n"
        f"y, x = stored_arrays.load_coordinates({str(checkpoint)!r})\n"
        "assert card.name == 'tiny' and y.size == 40\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shipped_models_are_small_and_skilful():
    """On weather that neither has seen: beside bicubic, and beside the best possible."""
    from xdeepr.synthetic import SyntheticClimate

    assert {"ddpm", "swin2sr"} <= set(shipped_names())
    climate = SyntheticClimate()
    time = np.datetime64("2030-01-10T00", "h") + np.arange(0, 24 * 300, 24 * 37 + 5)
    lr, hr = climate.sample(time, seed=77)
    smooth = lr.deepr.downscale("bicubic", factor=4).t2m
    bicubic = float(((smooth - hr.t2m) ** 2).mean() ** 0.5)
    for name, options in (("ddpm", {"members": 4}), ("swin2sr", {})):
        folder = SHIPPED / name
        assert sum(f.stat().st_size for f in folder.iterdir()) < 3_000_000
        out = lr.deepr.downscale(name, **options).t2m
        out = out.mean("realization") if options else out
        rmse = float(((out - hr.t2m) ** 2).mean() ** 0.5)
        assert rmse < 0.7 * bicubic, name
    # the mean that a deterministic model can learn at best
    best = climate.draw(lr, 40, seed=1).t2m.mean("realization")
    assert rmse < 1.1 * float(((best - hr.t2m) ** 2).mean() ** 0.5)


def test_checkpoints_can_be_read_by_others(small_model, tmp_path):
    folder = small_model.save(tmp_path / "model")
    assert all(f.stat().st_mode & 0o044 == 0o044 for f in folder.iterdir())
