"""A small checkpoint that was never trained, and ways to spoil what is in it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.deepr_compat.checkpoints.folders import lr_dataset, roughen
from xdeepr.grids import grid_of
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card, Diffusion
from xdeepr.models.stored_arrays import CARD
from xdeepr.normalization import Affine

FACTOR = 4
NETWORK = {"in_channels": 6, "out_channels": 1, "block_out_channels": [8, 8],
           "layers_per_block": 1}  # fmt: skip


def small_checkpoint(folder: Path) -> Path:
    """Write a checkpoint for the fields of :func:`lr_dataset`, with all its kinds of files."""
    from xdeepr.models.downscaler import Downscaler
    from xdeepr.networks import build

    lr = grid_of(lr_dataset())
    hr = lr.refine(FACTOR)
    cells = np.ones((12, 1, *hr.shape))
    t2m = Quantity("t2m", "K", {"standard_name": "air_temperature"})
    card = Card(
        name="untrained",
        predictors=(t2m,),
        predictands=(t2m,),
        covariates=(Quantity("orography", "m", {"standard_name": "surface_altitude"}),),
        base=(0,),
        time_features={"hour": "cyclical"},
        factor=FACTOR,
        margin=(0, 0, 0, 0),
        grid_kind="latlon",
        resolution=(1.0, 1.0),
        tile=hr.shape,
        network={"name": "unet2d", "config": {**NETWORK, "in_channels": 5}},
        diffusion=Diffusion(),
        normalization={
            "predictors": Affine((285.0,), (5.0,)),
            "target": Affine(0 * cells, cells, "pixel-wise"),
            "covariates": Affine((300.0,), (400.0,)),
        },
        training={"period": ["2020-01-01", "2020-02-01"], "times": 3, "domain": "here", "steps": 1,
                  "months": [1, 2], "predictor_range": [[270.0, 300.0]]},
        versions={"xdeepr": "0"},
    )  # fmt: skip
    y, x = hr.values()
    arrays = {"values": np.ones((1, *hr.shape), "f4"), "y": y, "x": x}
    network = roughen(build("unet2d", dict(card.network["config"])))
    curve = [{"step": 1, "train_loss": 0.5}]
    return Downscaler(card, network, covariate_arrays=arrays, curve=curve).save(folder)


def restate(folder: Path) -> None:
    """Let the card state the hashes of the files as they are now, as a forger would."""
    outer = json.loads((folder / CARD).read_text())
    for name in outer["sha256"]:
        outer["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(outer))


# --- mutations ------------------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 9, 65, 2**14 + 1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.5,
    1e308, float("nan"), float("inf"), -float("inf"), "", " ", "x", "1", "../../x", "/etc/passwd",
    "\x1b[31m", "a\nb\x00", "\ud800", "%s%n{0}{x.__class__}", "é" * 3000, [], {}, [[]], [1] * 100,
    [0, 0], [None, None], [-1, -1], [10**9, 10**9], ["a", "b"], {"a": 1}, {"": {}}, [1e999],
    {"tensor": True}, {"name": "vq", "config": {}}, 1e-320, 2**53 + 1,
]  # fmt: skip


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of everything in nested lists and mappings but the whole."""
    if above:
        yield above
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*above, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:4]):
            yield from paths(inner, (*above, number))


@st.composite
def spoiled(draw: st.DrawFn, document: Any, most: int = 2) -> Any:
    """Draw a document with some of its entries dropped, replaced, nested or added."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, most))):
        *above, last = draw(st.sampled_from(sorted(paths(document), key=str) or [("x",)]))
        inner = document
        for key in above:
            inner = inner[key]
        action = draw(st.sampled_from(["replace"] * 4 + ["drop", "nest", "add", "deep"]))
        if action == "drop":
            del inner[last]
        elif action == "nest":
            inner[last] = [inner[last]]
        elif action == "deep":
            for _ in range(200):
                inner[last] = {"a": inner[last]}
        elif action == "add" and isinstance(inner, dict):
            inner[draw(st.sampled_from(["colour", "__class__", "", "\x1b[2J"]))] = 1
        else:
            inner[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
        if not isinstance(document, dict | list) or not document:
            break
    return document


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, start: int = 400) -> bytes:
    """Draw bytes with a part cut off, or some changed; most of them in the header."""
    if draw(st.integers(0, 3)) == 0:
        return whole[: draw(st.integers(0, len(whole) - 1))]
    out = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(start, len(whole) - 1)) | st.integers(0, len(whole) - 1))
        out[place] = draw(st.integers(0, 255))
    return bytes(out)
