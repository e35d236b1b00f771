"""Whatever is in a file: it is read, or the error is one of xdeepr's own."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xdeepr
from tests.deepr_compat.checkpoints.folders import (
    BASELINE,
    DDIM,
    FACTOR,
    INPUT_SHAPE,
    SCALE,
    UNET,
    lr_dataset,
    roughen,
    unet,
    write_diffusion,
    write_regression,
)
from tests.deepr_compat.configuration.conftest import DIFFUSION
from tests.hostile import damaged, restate, small_checkpoint, spoiled
from xdeepr.deepr_compat import from_deepr
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.errors import CheckpointError, OptionError, TrainingError, XdeeprError
from xdeepr.grids import grid_of
from xdeepr.models.card_json import read_card
from xdeepr.models.checkpoint import load_card
from xdeepr.models.saving import CURVE, NORMALIZATION, WEIGHTS
from xdeepr.models.stored_arrays import CARD, COVARIATES, load_coordinates, load_covariates

MOST_GROWTH = 600 * 2**20
"""Bytes by which this process may grow: a few libraries, and no absurd network."""


def fuzz(examples: int) -> Any:
    """Run a test on the same random examples each time, however slow the machine is."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def ends_and_stays_small() -> Iterator[None]:
    """Fail where a reader does not come to an end, or takes memory that a file has asked for."""

    def give_up(*_: object) -> None:
        pytest.fail("a reader does not come to an end")

    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < MOST_GROWTH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("fuzz") / "model")


@pytest.fixture(scope="module")
def copied(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to spoil; each example puts it right again first."""
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp("copied") / "model"))


def refresh(folder: Path, copied: Path) -> None:
    for file in folder.iterdir():
        shutil.copyfile(file, copied / file.name)


def ours(use: Any, *args: Any, kinds: Any = XdeeprError, **options: Any) -> Any:
    """Call a reader; only its own errors may come out, and they say something."""
    try:
        return use(*args, **options)
    except kinds as error:
        assert len(str(error)) > 20
        return None


# --- xdeepr's own checkpoints ---------------------------------------------------------------------


@fuzz(200)
@given(data=st.data())
def test_cards(data, folder, copied):
    outer = json.loads((folder / CARD).read_text())
    if data.draw(st.booleans()):
        outer["card"] = data.draw(spoiled(outer["card"]))
    else:
        outer = data.draw(spoiled(outer))
    (copied / CARD).write_text(json.dumps(outer))
    found = ours(load_card, copied)
    if found is not None:  # whatever was let through can be written and read again
        assert read_card(found[0].to_json(), tensors=found[0].tensors()) == found[0]


@fuzz(60)
@given(data=st.data())
def test_networks_of_cards(data, folder, copied):
    refresh(folder, copied)
    outer = json.loads((folder / CARD).read_text())
    config = outer["card"]["network"]["config"]
    config |= {"attention_levels": [1], "time_labels": None, "down_block_types": None}
    outer["card"]["network"] = data.draw(spoiled(outer["card"]["network"]))
    (copied / CARD).write_text(json.dumps(outer))
    model = ours(xdeepr.load, copied)
    assert model is None or "network" in repr(model)


@pytest.mark.parametrize("name", ["swin2sr", "conv-baseline", "vq", "unet", "unet2d-condition"])
def test_other_networks_of_cards(name, folder, copied):
    """Their keywords are those of other libraries too."""
    given_ = {"in_channels": 1, "out_channels": 1, "factor": 4, "channels": 1, "embed_dim": 12,
              "depths": [2], "num_heads": [2], "window_size": 4}  # fmt: skip
    for key in given_:
        for odd in (0, -1, 2**14, 10**30, [1], "x", None, 0.5, [2**14] * 4):
            outer = json.loads((folder / CARD).read_text())
            outer["card"]["network"] = {"name": name, "config": {**given_, key: odd}}
            (copied / CARD).write_text(json.dumps(outer))
            assert ours(xdeepr.load, copied) is None


@fuzz(30)
@given(data=st.data())
def test_planning_with_cards(data, folder, copied):
    refresh(folder, copied)
    outer = json.loads((folder / CARD).read_text())
    outer["card"] = data.draw(spoiled(outer["card"], most=1))
    (copied / CARD).write_text(json.dumps(outer))
    ours(xdeepr.downscale, lr_dataset(1), str(copied), members=1)


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("name", [WEIGHTS, COVARIATES, NORMALIZATION, CURVE])
@fuzz(15)
@given(data=st.data())
def test_files_beside_the_card(name, forged, data, folder, copied):
    refresh(folder, copied)
    whole = (folder / name).read_bytes()
    (copied / name).write_bytes(data.draw(damaged(whole)))
    if forged:
        restate(copied)
    model = ours(xdeepr.load, copied)
    assert forged or model is None or (copied / name).read_bytes() == whole
    ours(load_coordinates, copied)


@fuzz(40)
@given(data=st.data())
def test_covariates_that_tasks_read(data, folder, copied):
    """Damaged before the work is planned, or after that: an error of ours or the right values."""
    refresh(folder, copied)
    card, _ = load_card(folder)
    grid = grid_of(lr_dataset(1)).refine(card.factor).crop(card.hr_margin)
    whole = (folder / COVARIATES).read_bytes()
    spoilt = data.draw(damaged(whole))
    if data.draw(st.booleans()):
        (copied / COVARIATES).write_bytes(spoilt)
        ds = ours(load_covariates, copied, card, grid, "digest")
    else:
        ds = load_covariates(copied, card, grid, "digest")
        (copied / COVARIATES).write_bytes(spoilt)
    if ds is not None:
        ours(ds.compute, scheduler="synchronous")


# --- checkpoints of DeepR -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusion(tmp_path_factory.mktemp("deepr") / "diffusion", unet())


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.networks.helpers import of_deepr
    from xdeepr.networks.conv_baseline import ConvBaseline

    network = roughen(of_deepr(ConvBaseline, BASELINE))
    return write_regression(tmp_path_factory.mktemp("deepr") / "baseline", network, BASELINE)


FACTS: dict[str, Any] = {"predictors": {"t2m": "K"}}
DRAWN: dict[str, Any] = {
    **FACTS, "factor": FACTOR, "hour": "class", "target": "field", "normalization": "instance",
}  # fmt: skip


@fuzz(40)
@given(data=st.data())
def test_deepr_diffusion(data, diffusion):
    config = data.draw(spoiled(UNET))
    (diffusion / "config.json").write_text(json.dumps(config))
    ours(from_deepr, diffusion, lr_grid=lr_dataset(), **DRAWN)


@fuzz(60)
@given(data=st.data())
def test_deepr_scheduler(data):
    from xdeepr.deepr_compat.schedulers import read_diffusion

    ours(read_diffusion, data.draw(spoiled(DDIM)))


@fuzz(100)
@given(data=st.data())
def test_deepr_scale(data, tmp_path):
    from xdeepr.deepr_compat.checkpoints.cards import read_scale

    file = tmp_path / "training_scale.json"
    file.write_text(json.dumps(data.draw(spoiled(SCALE))))
    ours(read_scale, file, lr_shape=(10, 12), hr_shape=(40, 48))


@fuzz(60)
@given(data=st.data())
def test_deepr_regression(data, baseline):
    (baseline / "config.json").write_text(json.dumps(data.draw(spoiled(BASELINE))))
    ours(from_deepr, baseline, lr_grid=lr_dataset(shape=INPUT_SHAPE), **FACTS)


@fuzz(60)
@given(data=st.data())
def test_deepr_pickles(data, baseline):
    (baseline / "config.json").write_text(json.dumps(BASELINE))
    file = baseline / "pytorch_model.bin"
    kept = file.read_bytes()
    try:
        file.write_bytes(data.draw(damaged(kept, start=1500)))
        ours(from_deepr, baseline, lr_grid=lr_dataset(shape=INPUT_SHAPE), **FACTS)
    finally:
        file.write_bytes(kept)


# --- configurations -------------------------------------------------------------------------------


@fuzz(80)
@given(data=st.data())
def test_configurations(data):
    ours(read_configuration, data.draw(spoiled(DIFFUSION)), kinds=OptionError)


TEXT = yaml.safe_dump(DIFFUSION)
PIECES = [
    *("&a ", "*a", "<<: *a\n", "!!python/object/apply:os.system [true]", "!!binary x", "!!set {a}"),
    *("2001-99-99", "0x" + "f" * 50, "9" * 5000, "1e999", ".nan", "!!omap [a: 1]", "%YAML 9.9\n"),
    *("{", "]", "[", "\x00", "\x1b", "? [a, b]\n", "- " * 50, "\t", "---\n", "'", "|\n", "é: "),
]


@fuzz(60)
@given(data=st.data())
def test_texts_of_configurations(data, tmp_path):
    text = TEXT
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.sampled_from([0, 0, 1, 10]))
        text = text[:place] + data.draw(st.sampled_from(PIECES)) + text[place + gone :]
    file = tmp_path / "configuration.yml"
    file.write_text(text, encoding="utf-8")
    ours(read_configuration, file, kinds=OptionError)


# --- states of training runs ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Return a call that takes up a run, and the file of its state."""
    from xdeepr.training.state import STATE

    keep = tmp_path_factory.mktemp("state")
    lr = lr_dataset(4)
    hr = xdeepr.downscale(lr, "bicubic", factor=2).compute()
    options = {"max_steps": 1, "batch_size": 2, "validation": None, "progress": False,
               "precision": "float32", "keep": keep,
               "network": {"block_out_channels": (8, 8), "layers_per_block": 1}}  # fmt: skip

    def take_up() -> Any:
        return xdeepr.fit(lr, hr, **options)

    take_up()
    return take_up, keep / STATE


@fuzz(40)
@given(data=st.data())
def test_states(data, run):
    """Nothing of a damaged state is taken up."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    take_up, file = run
    whole = file.read_bytes()
    with safe_open(file, framework="pt") as opened:
        tensors = {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118
        metadata = dict(opened.metadata())
    part = data.draw(st.sampled_from(["tensors", "progress", "run", "bytes"]))
    if part == "tensors":
        victim = data.draw(st.sampled_from(sorted(tensors)))
        change = data.draw(st.sampled_from(["drop", "rename", "reshape"]))
        spoilt = tensors.pop(victim)
        if change == "rename":
            tensors[f"{victim}/x/y"] = spoilt
        elif change == "reshape":
            tensors[victim] = spoilt.reshape(1, -1).repeat(2, 1)
    elif part in metadata:
        metadata[part] = json.dumps(data.draw(spoiled(json.loads(metadata[part]))))
    try:
        if part == "bytes":
            file.write_bytes(data.draw(damaged(whole, start=5000)))
        else:
            save_file(tensors, file, metadata=metadata)
        ours(take_up, kinds=(TrainingError, CheckpointError))
    finally:
        file.write_bytes(whole)
