"""Files of weights: tensors are read, and nothing else happens."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.deepr_compat.checkpoints.folders import roughen, write_weights
from xdeepr.deepr_compat.checkpoints.weights import check_size, load_weights, unet_name
from xdeepr.errors import CheckpointError


class Small(nn.Module):
    """A network of a few tensors, one of which is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.BatchNorm1d(4)


@pytest.fixture
def network() -> nn.Module:
    return Small()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return dict(roughen(Small(), 1).state_dict())


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


class Payload:
    """Runs code when it is unpickled by a reader that runs code."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return Path.touch, (self.victim,)


class Evaluated:
    """The same with a function that every Python has."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return eval, (f"open({str(self.victim)!r}, 'w')",)


def test_all_tensors_arrive(network, state, file):
    write_weights(file, state)
    load_weights(network, file)
    assert all(torch.equal(tensor, state[k]) for k, tensor in network.state_dict().items())


def test_other_precisions_and_names(network, state, file):
    """Half precision is exact in single; names may differ by a rule."""
    halves = {f"old.{k}": v.half() if v.is_floating_point() else v for k, v in state.items()}
    write_weights(file, halves)
    load_weights(network, file, rename=lambda name: name.removeprefix("old."))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, halves[f"old.{name}"].to(tensor.dtype))
        assert tensor.dtype == state[name].dtype


def test_constants_that_older_libraries_saved(network, state, file):
    state["layer.relative_position_index"] = torch.zeros(4, 4, dtype=torch.int64)
    write_weights(file, state)
    load_weights(network, file)


@pytest.mark.parametrize("weight", ["weight", "bias"])
def test_names_of_attention_before_diffusers_0_17(weight):
    start = "up_blocks.0.attentions.1"
    for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v")):
        assert unet_name(f"{start}.{old}.{weight}") == f"unet.{start}.{new}.{weight}"
    assert unet_name(f"{start}.proj_attn.{weight}") == f"unet.{start}.to_out.0.{weight}"
    assert unet_name(f"{start}.to_q.{weight}") == f"unet.{start}.to_q.{weight}"
    assert unet_name("conv_in.weight") == "unet.conv_in.weight"


# --- files that lie ------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [Payload, Evaluated])
@pytest.mark.parametrize("form", ["torch", "pickle", "legacy"])
@pytest.mark.parametrize("place", ["beside", "instead", "key"])
def test_code_in_a_pickle_is_not_run(payload, form, place, network, state, tmp_path):
    file, victim = tmp_path / "pytorch_model.bin", tmp_path / "victim"
    trap = payload(victim)
    content = {
        "beside": OrderedDict({**state, "trap": trap}),
        "instead": trap,
        "key": OrderedDict({**state, (trap,): torch.zeros(1)}),
    }[place]
    if form == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=2) + bytes(2000))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"model\.bin.*nothing in it was run.*safeten"):
        load_weights(network, file)
    assert not victim.exists()
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    # the trap is a real one
    torch.load(file, weights_only=False) if form != "pickle" else pickle.loads(file.read_bytes())
    assert victim.exists()


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.999])
def test_files_cut_short(kept, network, state, file):
    write_weights(file, state)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CheckpointError, match=rf"{file.name}.*(short|whole|damaged).*again"):
        load_weights(network, file)


def test_files_of_noise(network, file, rng):
    file.write_bytes(rng.bytes(5000))
    with pytest.raises(CheckpointError, match=file.name):
        load_weights(network, file)


def test_flipped_bytes_never_end_in_another_error(network, state, file, rng):
    """Whatever is damaged: either the file is still one, or the error is ours."""
    write_weights(file, state)
    whole = bytearray(file.read_bytes())
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            load_weights(network, file)
        except CheckpointError as error:
            assert file.name in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("first.weight"), r"lacks the tensor 'first\.weight'"),
        (lambda s: [s.pop(k) for k in list(s)[:3]], r"'first\.weight' and 2 more"),
        (lambda s: s.update(third=torch.zeros(2)), "has the tensor 'third', which the network"),
        (lambda s: s.update({"first.bias": torch.zeros(5)}), r"first\.bias.*\(5,\).*\(4,\)"),
        (lambda s: s["first.bias"].fill_(float("nan")), r"'first\.bias'.*not finite"),
        (lambda s: s["first.bias"].fill_(float("inf")), r"'first\.bias'.*not finite"),
    ],
    ids=["missing", "many missing", "unexpected", "wrong shape", "nan", "infinite"],
)
def test_weights_of_another_network(change, words, network, state, file):
    change(state)
    write_weights(file, state)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"{file.name}.*{words}"):
        load_weights(network, file)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(3)],
        {"first.weight": [1.0, 2.0]},
        {1: torch.zeros(3)},
        {"first.weight": torch.zeros(3, 4).to_sparse()},
        torch.zeros(3),
        {"state_dict": {"first.weight": torch.zeros(3)}},
    ],
    ids=["list", "numbers", "names", "sparse", "tensor", "nested"],
)
def test_other_things_in_a_pickle(content, network, tmp_path):
    file = tmp_path / "pytorch_model.bin"
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"model\.bin.*(something else|more than ten)"):
        load_weights(network, file)


@pytest.mark.parametrize(
    "header",
    [
        {"first.weight": {"dtype": "F32", "shape": [2**40, 3], "data_offsets": [0, 2**42]}},
        {"first.weight": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]},
         "first.bias": {"dtype": "F32", "shape": [4], "data_offsets": [2**60, 2**60 + 16]}},
        {"first.weight": {"dtype": "F32", "shape": [-4, 3], "data_offsets": [0, 48]}},
        {"first.weight": {"dtype": "X7", "shape": [4, 3], "data_offsets": [0, 48]}},
        {"first.weight": 7},
        [],
    ],
)  # fmt: skip
def test_absurd_headers(header, network, tmp_path):
    file = tmp_path / "model.safetensors"
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(200))
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*again"):
        load_weights(network, file)
    file.write_bytes(struct.pack("<Q", 2**63) + text + bytes(200))
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*again"):
        load_weights(network, file)


def test_an_archive_that_grows_is_refused(network, state, tmp_path):
    file, packed = tmp_path / "plain.bin", tmp_path / "pytorch_model.bin"
    write_weights(file, state)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/99", bytes(2**24))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin claims 16,\d\d\d,\d\d\d bytes"):
        load_weights(network, packed)


def test_sizes_are_checked_before_anything_is_read(network, tmp_path):
    file = tmp_path / "pytorch_model.bin"
    with file.open("wb") as stream:  # a file with a hole: large, and empty
        stream.truncate(2**30)
    with pytest.raises(CheckpointError, match="has 1,073,741,824 bytes, but the network has 33"):
        check_size(file, network.state_dict())
    with torch.device("meta"):
        huge = nn.Linear(10**5, 10**5)
    file.write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match="has 100 bytes, but the network has 10,000,100,000"):
        check_size(file, huge.state_dict())
