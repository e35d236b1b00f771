"""Files from strangers: refused, or harmless. Nothing in them is run, and nothing lies outside."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import xdeepr
from tests.deepr_compat.checkpoints.folders import (
    BASELINE,
    INPUT_SHAPE,
    SWIN,
    lr_dataset,
    write_json,
)
from tests.hostile import restate, small_checkpoint
from xdeepr import cli
from xdeepr.deepr_compat import from_deepr
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.errors import CheckpointError, OptionError, UnitsError, VariableError
from xdeepr.io import open_file, write_file
from xdeepr.models.checkpoint import load_card
from xdeepr.models.saving import CURVE, NORMALIZATION, WEIGHTS
from xdeepr.models.stored_arrays import CARD, COVARIATES, load_coordinates


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit(folder: Path, change: Any) -> None:
    outer = json.loads((folder / CARD).read_text())
    change(outer["card"])
    (folder / CARD).write_text(json.dumps(outer))


def test_the_checkpoint_itself_is_sound(folder):
    assert "untrained" in repr(xdeepr.load(folder))
    lr = lr_dataset(1)
    out = xdeepr.downscale(lr, folder, members=1, steps=1).compute()
    assert np.isfinite(out.t2m).all()


# --- code -----------------------------------------------------------------------------------------


class Call:
    """Calls a function when it is unpickled by a reader that runs code."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def gadgets(victim: Path) -> dict[str, Any]:
    """Ways into a Python that unpickles."""
    import builtins

    text = f"open({str(victim)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch '{victim}'"),
        "builtins.eval": Call(builtins.eval, text),
        "builtins.exec": Call(builtins.exec, text),
        "subprocess": Call(subprocess.check_call, ["touch", str(victim)]),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "nested": {"a": [{"b": (Call(builtins.exec, text),)}]},
        "torch.load": Call(torch.load, str(victim.with_suffix(".inner")), None),
    }


@pytest.mark.parametrize("form", ["zip", "pickle", "by hand"])
@pytest.mark.parametrize("name", list(gadgets(Path("x"))))
def test_code_in_weights_is_not_run(name, form, tmp_path):
    victim = tmp_path / "victim"
    torch.save({"w": Call(exec, f"open({str(victim)!r}, 'w').close()")}, tmp_path / "victim.inner")
    folder = tmp_path / "model"
    write_json(folder / "config.json", BASELINE)
    file = folder / "pytorch_model.bin"
    content = {"weight": torch.zeros(3), "trap": gadgets(victim)[name]}
    if form == "zip":
        torch.save(content, file)
    elif form == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=4) + bytes(20_000))
    else:  # an archive as torch's, whose data.pkl another program wrote
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content["trap"], protocol=2))
            archive.writestr("archive/version", "3\n")
            archive.writestr("../victim", "archives are read where they are, and never unpacked")
            archive.writestr("archive/data/0", bytes(20_000))
    options = {"lr_grid": lr_dataset(shape=INPUT_SHAPE), "predictors": {"t2m": "K"}}
    with pytest.raises(CheckpointError):
        from_deepr(folder, normalization="none", **options)
    assert not victim.exists()


@pytest.mark.parametrize("name", [WEIGHTS, COVARIATES, NORMALIZATION])
def test_a_pickle_in_place_of_safetensors_is_not_read(name, folder, tmp_path):
    victim = tmp_path / "victim"
    trap = {"w": Call(exec, f"open({str(victim)!r}, 'w').close()")}
    for write in (lambda f: torch.save(trap, f), lambda f: f.write_bytes(pickle.dumps(trap))):
        write(folder / name)
        restate(folder)  # a forger states the hash of what he put there
        with pytest.raises(CheckpointError, match=name):
            xdeepr.load(folder)
    assert not victim.exists()


def test_scripts_beside_a_model_are_not_looked_at(folder, tmp_path, monkeypatch):
    """Hub repositories can hold Python that other libraries import when asked to trust it."""
    victim = tmp_path / "victim"
    for name in ("modeling.py", "__init__.py", "setup.py", "xdeepr.py", "sitecustomize.py"):
        (folder / name).write_text(f"open({str(victim)!r}, 'w').close()")
    edit(
        folder, lambda card: card["network"]["config"].update(auto_map={"AutoModel": "modeling.M"})
    )
    monkeypatch.chdir(folder)
    with pytest.raises(CheckpointError, match="auto_map"):
        xdeepr.load(folder)
    assert not victim.exists()


@pytest.mark.parametrize("name", ["os:system", "xdeepr.networks.unet:UNet2D", "../unet2d", "unet2"])
def test_networks_come_from_the_table_only(name, folder):
    edit(folder, lambda card: card["network"].update(name=name))
    with pytest.raises(OptionError, match="is not one of"):
        xdeepr.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['touch {victim}']",
        "a: !!python/object/new:subprocess.Popen [['touch', '{victim}']]",
        "a: !!python/name:os.system",
        "a: !!python/module:os",
        "!!python/object/apply:builtins.exec [\"open('{victim}', 'w')\"]",
        "? !!python/object/apply:os.system ['touch {victim}']\n: 1",
        "a: !python/tuple [1]",
    ],
)
def test_yaml_builds_no_objects(text, tmp_path):
    victim, file = tmp_path / "victim", tmp_path / "c.yml"
    file.write_text(text.format(victim=victim))
    with pytest.raises(OptionError, match="builds no objects"):
        read_configuration(file)
    assert not victim.exists()


LAUGHS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 15))
MERGES = "\n".join(f"m{n}: &m{n}\n  <<: [{', '.join([f'*m{n - 1}'] * 9)}]" for n in range(1, 15))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"l0: &l0 [x]\n{LAUGHS}", "more than 20,000 values"),
        (f"m0: &m0 {{a: 1, b: 2}}\n{MERGES}", "more than|m0: unknown key"),  # PyYAML 6.0.4 mends it
        ("a: &a [*a]", "levels within each other"),
        ("a: &a\n  b: *a", "levels within each other"),
        ("a: &a x\nb: [" + "*a, " * 1000 + "]", "more than 200 references"),
        ("a: " + "[" * 20_000, "configuration|YAML"),
        ("a: " + "9" * 6000, "configuration"),
        ("a: 2001-99-99", "configuration"),
        ("a: '" + "x" * 2**21 + "'", "more than any file"),
    ],
    ids=["laughs", "merges", "list", "section", "references", "deep", "digits", "date", "long"],
)
def test_yaml_that_grows(text, words, tmp_path):
    file = tmp_path / "c.yml"
    file.write_text(text)
    with pytest.raises(OptionError, match=words):
        read_configuration(file)


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"block_out_channels": [16384, 16384]},
        {"block_out_channels": [512, 1024]},
        {"block_out_channels": [8] * 65},
        {"block_out_channels": [8] * 60},
        {"layers_per_block": 16384},
        {"layers_per_block": 10**9},
        {"in_channels": 10**12},
        {"time_embedding_dim": 2**14},
    ],
)
def test_networks_larger_than_their_weights_are_not_built(config, folder):
    import resource

    edit(folder, lambda card: card["network"]["config"].update(config))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"larger than its weights|cannot be built"):
        xdeepr.load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024**2 / 1024


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window_size": 16384}, "window_size is 16384"),
        ({"embed_dim": 10**9}, "embed_dim is"),
        ({"depths": [10**4] * 60}, "depths=.* must name the same stages|is of a larger network"),
        ({"depths": [1] * 65}, "depths has 65 entries"),
        ({"depths": None}, "wrong kind|damaged"),
        ({"depths": 6}, "wrong kind|damaged"),
        ({"hidden_act": "wave"}, "wave"),
        ({"real_upscale": 16, "input_shape": [2, 3]}, "16"),
    ],
)
def test_absurd_networks_of_deepr_are_not_built(change, words, tmp_path):
    write_json(tmp_path / "config.json", {**SWIN, **change})
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "pytorch_model.bin")
    options = {"lr_grid": lr_dataset(shape=INPUT_SHAPE), "predictors": {"t2m": "K"}}
    with pytest.raises(CheckpointError, match=words):
        from_deepr(tmp_path, normalization="none", **options)


def test_building_elsewhere_is_not_limited(folder):
    """The limit holds while a checkpoint is read, in that thread, and is gone afterwards."""
    import threading

    from xdeepr.networks.bounded import TooLargeError, bounded

    built: list[torch.nn.Module] = []

    def build() -> None:
        built.append(torch.nn.Linear(400, 400))

    with bounded(tensors=1, numbers=1):
        other = threading.Thread(target=build)
        other.start()
        other.join()
        with pytest.raises(TooLargeError):
            build()
    build()
    assert len(built) == 2


@pytest.mark.parametrize("name", [WEIGHTS, COVARIATES, NORMALIZATION])
@pytest.mark.parametrize(
    ("shape", "offsets", "length"),
    [([2**40, 3], [0, 3 * 2**42], None), ([4], [2**60, 2**60 + 16], None), ([4], [0, 16], 2**63)],
)
def test_absurd_sizes_in_headers(name, shape, offsets, length, folder):
    header = {"y": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}
    text = json.dumps(header).encode()
    content = struct.pack("<Q", length or len(text)) + text + bytes(100)
    (folder / name).write_bytes(content)
    restate(folder)
    with pytest.raises(CheckpointError, match=name):
        xdeepr.load(folder)


@pytest.mark.parametrize("gone", ["values", "y", "x"])
def test_covariates_that_lack_an_array(gone, folder):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(folder / COVARIATES)
    save_file({k: v for k, v in arrays.items() if k != gone}, folder / COVARIATES)
    restate(folder)
    for use in (xdeepr.load, load_coordinates):
        with pytest.raises(CheckpointError, match=rf"{COVARIATES} does not hold"):
            use(folder)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"card": ' * 50_000, b"9" * 10_000])
def test_json_that_is_deep_or_long(content, folder):
    for name in (CARD, CURVE):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        if name == CURVE:
            restate(folder)
        with pytest.raises(CheckpointError, match=f"{name}.*(damaged|no list)"):
            xdeepr.load(folder)
        (folder / name).write_bytes(kept)


def test_models_within_models_come_to_an_end(folder):
    """A folder that links to itself as its own base."""
    (folder / "base").symlink_to(".", target_is_directory=True)
    with pytest.raises(CheckpointError, match=r"base.*does not belong there"):
        xdeepr.load(folder)
    outer = json.loads((folder / CARD).read_text())
    outer["sha256"]["base/card.json"] = "0" * 64  # it cannot state its own hash
    (folder / CARD).write_text(json.dumps(outer))
    with pytest.raises(CheckpointError, match="SHA-256"):
        xdeepr.load(folder)


# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(base=[1]), "base is"),
        (lambda c: c.update(base=[-1]), "base is"),
        (lambda c: c.update(base=[]), "base is"),
        (lambda c: c.update(factor=1), "factor is 1"),
        (lambda c: c.update(factor=9), "factor is 9"),
        (lambda c: c.update(factor=True), "factor is True"),
        (lambda c: c.update(margin=[0, 0, -1, 0]), "margin is"),
        (lambda c: c.update(margin=[0, 0, 0]), "margin is"),
        (lambda c: c.update(tile=[0, 40]), "tile is"),
        (lambda c: c.update(tile=[10**9, 40]), "tile is"),
        (lambda c: c.update(resolution=[1.0, 0.0]), "resolution is"),
        (lambda c: c.update(kind="magic"), "kind is 'magic'"),
        (lambda c: c.update(target=["field"]), "target is"),
        (lambda c: c.update(grid_kind="hexagonal"), "grid_kind is"),
        (lambda c: c.update(channels=["time", "time"]), "channels is"),
        (lambda c: c.update(time_features={"minute": "class"}), "time_features is"),
        (lambda c: c.update(covariate_dropout=2), "covariate_dropout is 2"),
        (lambda c: c.update(context=-1), "context is -1"),
        (lambda c: c.update(scale=0), "scale is 0"),
        (lambda c: c.update(predictors=[]), "predictors is"),
        (lambda c: c["predictands"][0].update(name="../../t2m"), "predictands is"),
        (lambda c: c["predictands"][0].update(name="a\x1b[2J"), "predictands is"),
        (lambda c: c["predictands"][0].update(units=3), "units of predictands is 3"),
        (lambda c: c["predictands"][0].update(attrs={"a": {"b": 1}}), "attrs of predictands"),
        (lambda c: c["normalization"].pop("target"), "normalization of target"),
        (lambda c: c["normalization"].update(magic=c["normalization"]["predictors"]), "magic"),
        (lambda c: c["normalization"]["predictors"].update(mean=[1, 2]), "reshape"),
        (lambda c: c["normalization"]["predictors"].update(std=[0.0]), "greater than 0"),
        (lambda c: c["diffusion"].update(sigma_min=30.0), "sigma_max"),
        (lambda c: c["diffusion"].update(steps=10**9), "diffusion.steps"),
        (lambda c: c["diffusion"].update(schedule={"num_train_timesteps": 10**9}), "schedule"),
        (lambda c: c["diffusion"].update(sampler_options=[1]), "sampler_options"),
        (lambda c: c.update(network="unet2d"), "network is"),
        (lambda c: c["training"].update(predictor_range=[[1]]), "predictor_range"),
        (lambda c: c["training"].update(months=[13]), "training.months"),
    ],
)  # fmt: skip
def test_what_no_model_has_is_named(change, words, folder):
    edit(folder, change)
    for use in (xdeepr.load, load_card):
        with pytest.raises(CheckpointError, match=words):
            use(folder)


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../../secret", "..", "a\\..\\b", "C:secret", "a\x00b", "a\nb"],
)
def test_files_outside_the_folder_are_not_read(name, folder):
    outer = json.loads((folder / CARD).read_text())
    outer["sha256"][name] = "0" * 64
    (folder / CARD).write_text(json.dumps(outer))
    (folder.parent / "secret").write_text("x")
    with pytest.raises(CheckpointError, match="outside its folder"):
        xdeepr.load(folder)


def test_links_are_followed_and_what_they_lead_to_is_checked(folder, tmp_path):
    """As the Hub's cache has them, and people with a scratch disk: links are no danger.

    What a link leads to is read as data, has to match its hash, and is never written to.
    """
    elsewhere = tmp_path / "scratch"
    elsewhere.mkdir()
    for name in (WEIGHTS, CARD):
        (folder / name).rename(elsewhere / name)
        (folder / name).symlink_to(elsewhere / name)
    model = xdeepr.load(folder)
    secret = tmp_path / "secret"
    secret.write_text("password=hunter2")
    for name in (WEIGHTS, COVARIATES, CURVE, CARD):
        (folder / name).unlink()
        (folder / name).symlink_to(secret)
        with pytest.raises(CheckpointError) as caught:
            xdeepr.load(folder)
        assert "hunter2" not in str(caught.value)
        (folder / name).unlink()
        shutil.copy(elsewhere / name if (elsewhere / name).exists() else secret, folder / name)
    # saving over a folder of links replaces the links, not what they lead to
    before = (elsewhere / WEIGHTS).read_bytes()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / CARD).symlink_to(elsewhere / CARD)
    (linked / WEIGHTS).symlink_to(elsewhere / WEIGHTS)
    model.save(linked, overwrite=True)
    assert not any(f.is_symlink() for f in linked.iterdir())
    assert (elsewhere / WEIGHTS).read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_devices_and_pipes_are_not_read(folder):
    """Reading them would never end."""
    for name in (WEIGHTS, CARD):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(CheckpointError, match=name):
            xdeepr.load(folder)
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        with pytest.raises(CheckpointError, match=name):
            xdeepr.load(folder)


# --- texts ----------------------------------------------------------------------------------------

ESCAPES = "\x1b[31mred\x1b[2J\x07\x9b1m %s%n {0.__class__} ${HOME} `id`\r\n\t;"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    ds = lr_dataset(2)
    ds.attrs = {"history": ESCAPES + "x" * 1_000_000, "title": ESCAPES, "institution": ESCAPES}
    ds.t2m.attrs |= {"long_name": ESCAPES, "comment": "c" * 100_000, "cell_methods": ESCAPES}
    ds.latitude.attrs["long_name"] = ESCAPES
    ds.to_netcdf(tmp_path / "hostile.nc")
    return tmp_path / "hostile.nc"


def test_texts_are_carried_on_as_they_are(hostile, tmp_path):
    """The history is the user's: it is kept whole, and grows by one line for each run."""
    with open_file(hostile) as ds:
        kept = ds.attrs["history"].strip()
        out = xdeepr.downscale(ds, "bicubic", factor=2)
        write_file(out, tmp_path / "out.nc")
        np.testing.assert_array_equal(open_file(tmp_path / "out.nc").t2m, out.t2m)
    written = open_file(tmp_path / "out.nc")
    line, rest = written.attrs["history"].split("\n", 1)
    assert "xdeepr" in line
    assert len(line) < 300
    assert rest == kept
    assert written.attrs["title"] == ESCAPES


def test_a_models_name_forges_no_line_of_the_history(folder, tmp_path):
    edit(folder, lambda card: card.update(name="x\n2020-01-01 someone else: did it\x1b[2J"))
    out = xdeepr.downscale(lr_dataset(1), folder, members=1, steps=1)
    assert out.attrs["history"].isprintable()
    assert "\x1b" not in repr(xdeepr.load(folder))


@pytest.mark.parametrize(
    "units", ["9**9**9**9", "9^9^9^9", "9⁹⁹⁹⁹", "(9**9)**99", "K" * 10**6, "\x1b[2J", "(" * 150]
)
def test_units_that_are_none(units):
    """Some of them are sums that no machine finishes."""
    ds = lr_dataset(1)
    ds.t2m.attrs["units"] = units
    with pytest.raises(UnitsError, match="t2m") as caught:
        xdeepr.downscale(ds, "bicubic", factor=2)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("key", ["units", "standard_name", "grid_mapping", "bounds", "climatology"])
@pytest.mark.parametrize("name", ["t2m", "time", "latitude"])
def test_arrays_in_place_of_texts(name, key):
    ds = lr_dataset(1)
    ds[name].attrs[key] = np.array([1, 2])
    with pytest.raises(VariableError, match=rf"{name}.*{key}.*text"):
        xdeepr.downscale(ds, "bicubic", factor=2)


def test_a_scale_that_is_no_number(tmp_path):
    ds = lr_dataset(1)
    ds.t2m.attrs["scale_factor"] = "huge"
    ds.to_netcdf(tmp_path / "in.nc")
    with pytest.raises(VariableError, match="scale_factor 'huge'"):
        xdeepr.downscale(open_file(tmp_path / "in.nc"), "bicubic", factor=2)


def test_the_command_line_prints_no_escapes(hostile, folder, tmp_path, capfd):
    with xr.open_dataset(hostile) as ds:
        bad = ds.load()
    bad.t2m.attrs["units"] = ESCAPES
    bad.to_netcdf(tmp_path / "bad.nc")
    edit(folder, lambda card: card.update(name=ESCAPES, grid_kind="projected"))
    runs = [
        [str(hostile), "--model=bicubic", "--factor=2"],
        [str(tmp_path / "bad.nc"), "--model=bicubic", "--factor=2"],
        [str(hostile), f"--model={folder}"],
        [str(tmp_path / "no\x1b[2J.nc"), "--model=bicubic"],
    ]
    codes = []
    for number, (source, *options) in enumerate(runs):
        out = str(tmp_path / f"out{number}.nc")
        codes.append(cli.main(["downscale", source, out, *options, "--quiet"]))
    said = "".join(capfd.readouterr())
    assert codes == [0, 1, 1, 1]
    assert len(said.splitlines()) >= 3
    assert all(c.isprintable() or c == "\n" for c in said)


def test_messages_of_the_command_line_are_not_endless(capfd):
    cli._say("error: " + "x" * 10**6 + "the cure")
    said = capfd.readouterr().err
    assert len(said) < 5000
    assert said.endswith("the cure\n")
