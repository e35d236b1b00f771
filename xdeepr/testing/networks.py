"""What every network has to hold, for those of the registry and for one of your own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from xdeepr.networks import build
from xdeepr.networks.calling import Conditions, evaluate, works_on_lr
from xdeepr.networks.padding import padded_call
from xdeepr.testing.equality import assert_same_field

_Arguments = dict[str, torch.Tensor]
"""What a network is called with, by name; the batch comes first."""

_Call = Callable[[nn.Module, _Arguments], torch.Tensor]

SIZES = ((7, 10), (1, 3))
"""Heights and widths that fit no multiple, in pixels or in LR cells."""

BATCH = 3


def check_network(name: str, config: Mapping[str, Any], *, seed: int = 0) -> None:
    """Raise unless a network holds what the rest of the package relies on.

    Its configuration survives JSON, fields of odd sizes come back in their size and type, an
    entry of a batch does not depend on the others, the same call gives the same bits, weights that
    were saved and loaded give the same bits, every argument matters to the output, and a gradient
    reaches every weight.

    Parameters
    ----------
    name : str
        A key of :data:`xdeepr.networks.NETWORKS`; register a network of your own first.
    config : mapping
        Keywords of the network; small ones, for it is evaluated some twenty times. With
        ``time_labels`` and ``lr_channels``, or ``covariate_channels``, these are checked too.
    seed : int, default: 0
        Of weights and fields.

    Raises
    ------
    AssertionError
        Names the network and what it does not hold.

    Examples
    --------
    >>> check_network("unet2d", {"in_channels": 3, "out_channels": 1,
    ...                          "block_out_channels": [8, 16], "layers_per_block": 1})
    """
    plain = json.loads(json.dumps(dict(config)))
    torch.manual_seed(seed)
    network = roughened(build(name, plain)).eval()
    call = _call_of(network)
    with torch.no_grad():
        for size in SIZES:
            _check_shape(name, network, call, _arguments(network, plain, size), plain)
        arguments = _arguments(network, plain, SIZES[0])
        output = call(network, arguments)
        assert torch.equal(call(network, arguments), output), f"{name}: two calls, two results"
        _check_entries(name, network, call, arguments, output)
        _check_state(name, network, call, arguments, plain)
        _check_influence(name, network, call, arguments, output)
    _check_gradients(name, network, call, arguments)


def roughened(network: nn.Module, scale: float = 0.05) -> nn.Module:
    """Disturb all weights in place: those that start at zero hide what comes before them."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return network


def _call_of(network: nn.Module) -> _Call:
    """Return how a network of its kind is evaluated on fields of any size."""
    if works_on_lr(network):
        return _call_on_lr
    if hasattr(network, "encode"):
        return lambda net, given: padded_call(net, given["fields"])
    return lambda net, given: padded_call(
        net, given["inputs"], given["noise_label"], given.get("labels"), given.get("lr")
    )


def _call_on_lr(network: Any, given: _Arguments) -> torch.Tensor:
    lr = given["lr"]
    height, width = (network.factor * (n - 2 * network.context) for n in lr.shape[-2:])
    covariates, offsets = given.get("covariates"), [(0, 0)] * len(lr)
    channels = lr.new_zeros(len(lr), 1, height, width)
    return evaluate(network, Conditions(channels, None, lr, covariates, offsets))


def _arguments(network: Any, config: Mapping[str, Any], size: tuple[int, int]) -> _Arguments:
    """Return normal numbers for everything that a network of this configuration takes."""
    if works_on_lr(network):
        y, x = network.lr_shape or (n + 2 * network.context for n in size)
        given = {"lr": torch.randn(BATCH, config["in_channels"], y, x)}
        if more := config.get("covariate_channels"):
            hr = [network.factor * (n - 2 * network.context) for n in (y, x)]
            given["covariates"] = torch.randn(BATCH, more, *hr)
        return given
    if hasattr(network, "encode"):
        return {"fields": torch.randn(BATCH, config["channels"], *size)}
    given = {
        "inputs": torch.randn(BATCH, config["in_channels"], *size),
        "noise_label": torch.linspace(-0.5, 0.5, BATCH),
    }
    if features := config.get("time_labels"):
        columns = {"hour": [6.5, 18.0, 23.0], "day_of_year": [20.0, 200.0, 366.0]}
        given["labels"] = torch.tensor([columns[feature] for feature in features]).T
    if config.get("lr_channels") and getattr(network, "uses_lr", False):
        given["lr"] = torch.randn(BATCH, config["lr_channels"], 4, 5)
    return given


def _check_shape(
    name: str, network: Any, call: _Call, given: _Arguments, config: Mapping[str, Any]
) -> None:
    fields = next(iter(given.values()))
    height, width = fields.shape[-2:]
    if works_on_lr(network):
        height, width = (network.factor * (n - 2 * network.context) for n in (height, width))
    channels = config["channels"] if hasattr(network, "encode") else config["out_channels"]
    out, wanted = call(network, given), (BATCH, channels, height, width)
    assert out.shape == wanted, f"{name}: shape {tuple(out.shape)}, where {wanted} is due"
    assert out.dtype == fields.dtype, f"{name}: {out.dtype} for fields of {fields.dtype}"
    assert bool(torch.isfinite(out).all()), f"{name}: not all of the output is finite"


def _check_entries(
    name: str, network: nn.Module, call: _Call, given: _Arguments, whole: torch.Tensor
) -> None:
    for entry in range(BATCH):
        alone = call(network, {key: value[[entry]] for key, value in given.items()})
        try:
            assert_same_field(alone[0], whole[entry])
        except AssertionError as error:
            raise AssertionError(f"{name}: an entry depends on its batch: {error}") from None


def _check_state(
    name: str, network: nn.Module, call: _Call, given: _Arguments, config: dict[str, Any]
) -> None:
    stored = save({key: value.contiguous() for key, value in network.state_dict().items()})
    again = build(name, config)
    again.load_state_dict(load(stored))
    same = torch.equal(call(again.eval(), given), call(network, given))
    assert same, f"{name}: other numbers after saving and loading"


def _check_influence(
    name: str, network: nn.Module, call: _Call, given: _Arguments, output: torch.Tensor
) -> None:
    for key, value in given.items():
        # labels are whole hours and days for some encodings
        moved = call(network, {**given, key: value + (1 if key == "labels" else 0.5)})
        assert not torch.equal(moved, output), f"{name}: {key} does not matter"


def _check_gradients(name: str, network: Any, call: _Call, given: _Arguments) -> None:
    if hasattr(network, "encode"):
        height, width = (-n % network.multiple for n in given["fields"].shape[-2:])
        padded = nn.functional.pad(given["fields"], (0, width, 0, height), mode="replicate")
        noise = torch.randn(network.latent_shape(padded.shape))
        output, regularizer = network.reconstruction_terms(padded, noise)
        loss = output.square().sum() + regularizer.sum()
    else:
        loss = call(network, given).square().sum()
    loss.backward()
    for key, weight in network.named_parameters():
        reached = weight.grad is not None and bool((weight.grad != 0).any())
        assert reached or not weight.requires_grad, f"{name}: no gradient reaches {key}"
