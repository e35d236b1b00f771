"""Read the weights of DeepR's checkpoints: tensors and nothing else.

A pickle is a program. Torch's reader with ``weights_only=True`` refuses every instruction that
does more than rebuild tensors, before it is run.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.untrusted import AGAIN
from xdeepr.errors import CheckpointError
from xdeepr.networks.bounded import TooLargeError, bounded

Shape = tuple[int, ...]
Rename = Callable[[str], str]
Network = TypeVar("Network", bound=nn.Module)

SLACK = 2**26
"""Bytes that a file may have beyond the numbers in it: names, alignment, buffers."""

_CONSTANTS = ("relative_position_index", "relative_coords_table", "attn_mask")
"""Endings of buffers that older libraries saved and that follow from the configuration."""

_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")


def build(
    make: Callable[[], Network], layout: Layout, *, rename: Rename = lambda name: name
) -> Network:
    """Return a network with the weights of a folder, if these can be its weights.

    An absurd configuration costs no memory and little time: a number takes two bytes at least,
    and a tensor its name and place beside them.
    """
    size = layout.weights.stat().st_size
    try:
        with bounded(tensors=size // 32, numbers=size // 2):
            with torch.device("meta"):
                check_size(layout.weights, make().state_dict())
            network = make()
    except (CheckpointError, ModuleNotFoundError):  # a missing library is no damage
        raise
    except TooLargeError as error:
        raise CheckpointError(
            f"{layout.weights} has {size:,} bytes, but {layout.file.name} is of a larger network"
            f" ({error}): the file is cut short, or belongs to another config.json; {AGAIN}."
        ) from None
    except Exception as error:  # libraries refuse configurations with errors of many kinds
        raise CheckpointError(
            f"{layout.file}: the network cannot be built from it ({error}): the file is damaged, or"
            f" needs another version of diffusers or transformers; {AGAIN}."
        ) from None
    load_weights(network, layout.weights, rename=rename)
    return network


def load_weights(network: nn.Module, file: Path, *, rename: Rename = lambda name: name) -> None:
    """Put the weights of a file into a network of its architecture; all of them or none.

    `rename` leads from a name in the file to the name in the network. Refused is a file that would
    run code, has other tensors or shapes than the network, or numbers that are not finite.
    """
    state = network.state_dict()
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    check_size(file, state)
    if file.suffix == ".safetensors":
        tensors = _safetensors(file, wanted, rename)
    else:
        tensors = {rename(name): tensor for name, tensor in _pickle(file).items()}
        _compare({name: tuple(tensor.shape) for name, tensor in tensors.items()}, wanted, file)
    for name in wanted:
        if not bool(tensors[name].isfinite().all()):
            raise CheckpointError(
                f"{file}: the tensor {name!r} has numbers that are not finite: {AGAIN}."
            )
    network.load_state_dict({name: tensors[name] for name in wanted})


def unet_name(name: str) -> str:
    """Return the published U-Net's name of a tensor; attention had others before diffusers 0.17."""
    old = _OLD_NAME.fullmatch(name)
    if old:
        name = f"{old[1]}.{_OLD_ATTENTION[old[2]]}.{old[3]}"
    return f"unet.{name}"


def check_size(file: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Refuse a file too small or much too large for these tensors, be they on the meta device."""
    numbers = sum(tensor.numel() for tensor in state.values())
    found = file.stat().st_size
    if not numbers <= found <= 8 * numbers + SLACK:
        raise CheckpointError(
            f"{file} has {found:,} bytes, but the network has {numbers:,} numbers: the file is cut"
            f" short, or belongs to another config.json; {AGAIN}."
        )


def _safetensors(
    file: Path, wanted: Mapping[str, Shape], rename: Rename
) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file, of which only the header is read at first."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            names = {rename(name): name for name in opened.keys()}  # noqa: SIM118
            shapes = {new: tuple(opened.get_slice(name).get_shape()) for new, name in names.items()}
            _compare(shapes, wanted, file)
            return {new: opened.get_tensor(name) for new, name in names.items() if new in wanted}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{file} is no whole safetensors file ({error}): {AGAIN}.") from None


def _pickle(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a pickle, of which nothing is run."""
    _refuse_compression(file)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors, or is damaged: it was not opened, and nothing in it"
            f" was run ({_first_sentence(error)}). Take the file from the Hub again, or one in"
            " safetensors."
        ) from None
    except Exception as error:  # torch's reader meets damage with errors of many kinds
        raise CheckpointError(
            f"{file} cannot be read ({_first_sentence(error)}): the file is cut short or damaged;"
            f" {AGAIN}."
        ) from None
    if not isinstance(found, dict) or not all(map(_is_named_tensor, found.items())):
        raise CheckpointError(
            f"{file} holds something else than dense tensors by name: only the state of a network"
            " is read, as DeepR's save_pretrained wrote it."
        )
    return found


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, torch.Tensor) and not value.is_sparse


def _refuse_compression(file: Path) -> None:
    """Refuse a zip archive that grows when it is opened; torch stores without compression."""
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            grows = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{file} is a damaged archive ({error}): {AGAIN}.") from None
    if grows > file.stat().st_size:
        raise CheckpointError(
            f"{file} claims {grows:,} bytes of content in a file of {file.stat().st_size:,}:"
            " torch does not write such files; take it from the Hub again."
        )


def _first_sentence(error: Exception) -> str:
    """Return the beginning of a message; torch's go on about how to switch its check off."""
    text = " ".join(str(error).split())
    return (
        re.split(r"(?<=[a-z)])\. | In PyTorch", text, maxsplit=1)[0][:200] or type(error).__name__
    )


def _compare(found: Mapping[str, Shape], wanted: Mapping[str, Shape], file: Path) -> None:
    """Compare names and shapes of tensors."""
    other = "the file does not belong to this config.json; take both from the same revision"
    missing = [name for name in wanted if name not in found]
    if missing:
        raise CheckpointError(f"{file} lacks the tensor {_and_more(missing)}: {other}.")
    more = [n for n in found if n not in wanted and not n.endswith(_CONSTANTS)]
    if more:
        raise CheckpointError(
            f"{file} has the tensor {_and_more(more)}, which the network has not: {other}."
        )
    for name, shape in wanted.items():
        if found[name] != shape:
            raise CheckpointError(
                f"{file}: the tensor {name!r} has the shape {found[name]}, the network's has"
                f" {shape}: {other}."
            )


def _and_more(names: list[str]) -> str:
    return repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
