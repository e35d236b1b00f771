"""The convolutional baseline: sizes, and DeepR's network from its configuration."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch import nn

from tests.networks.helpers import of_deepr
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.networks.conv_baseline import ConvBaseline
from xdeepr.networks.folding import folding

# as DeepR's save_pretrained writes it for the widths of its configuration file
PUBLISHED = {
    "architectures": ["ConvBaseline"],
    "image_size": [32, 48],
    "input_shape": [44, 60],
    "interpolation_method": "bicubic",
    "model_type": "convbilinear",
    "num_channels": 1,
    "sample_size": [160, 240],
    "torch_dtype": "float32",
    "transformers_version": "4.31.0",
    "upblock_channels": [32, 16],
    "upblock_kernel_size": [5, 3],
    "upscale": 5,
    "upscale_power2": 3,
}


@pytest.fixture
def normal():
    """Standard normal tensors from a seeded generator."""
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(*shape, generator=generator)


def wake(network: nn.Module) -> nn.Module:
    """Give every weight a value that is not zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return network.eval()


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("covariates", [0, 3])
def test_sizes(normal, factor, context, covariates):
    y, x = (8, 16) if factor & (factor - 1) else (5, 7)
    shape = (y + 2 * context, x + 2 * context)
    network = ConvBaseline(
        3, 2, factor=factor, context=context, covariate_channels=covariates, lr_shape=shape,
        upblock_channels=(8, 4),
    )  # fmt: skip
    fields = normal(2, covariates, y * factor, x * factor) if covariates else None
    out = network(normal(2, 3, *shape), fields)
    assert out.shape == (2, 2, y * factor, x * factor)
    assert (out == 0).all()  # a fresh network predicts 0
    assert network.grid == "lr"
    assert network.lr_shape == (shape if factor & (factor - 1) else None)


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (17, 2)])
def test_a_power_of_two_takes_any_size(normal, size):
    network = ConvBaseline(1, 1, factor=4, context=3, upblock_channels=(8, 4))
    out = network(normal(1, 1, size[0] + 6, size[1] + 6))
    assert out.shape == (1, 1, 4 * size[0], 4 * size[1])


def test_a_shift_of_the_input_shifts_the_output(normal):
    """Away from the edges, where zeros are padded."""
    network = wake(ConvBaseline(2, 1, factor=2, context=1, upblock_channels=(8, 4)))
    lr = normal(1, 2, 18, 18)
    whole, part = network(lr), network(lr[..., 2:, 1:])
    torch.testing.assert_close(whole[..., 12:-12, 12:-12], part[..., 8:-12, 10:-12])


def test_gradients_reach_every_parameter(normal):
    network = wake(ConvBaseline(2, 2, factor=5, context=1, covariate_channels=1, lr_shape=(10, 18)))
    network(normal(2, 2, 10, 18), normal(2, 1, 40, 80)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_fresh_network_with_interpolation_is_the_interpolation(normal):
    lr = normal(2, 3, 9, 10)
    network = ConvBaseline(3, 2, factor=2, context=2, interpolation="bilinear")
    expected = nn.functional.interpolate(lr[:, :2, 2:-2, 2:-2], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(network(lr), expected)


def deepr_forward(weights, lr):
    """DeepR's forward, written out of the tensors alone."""
    functional = nn.functional
    hidden = functional.conv2d(
        lr, weights["preprocess_model.weight"], weights["preprocess_model.bias"]
    )
    for block in range(3):
        for layer, pad in ((1, 2), (2, 1), (3, 0)):
            name = f"cnns.{block}.conv{layer}"
            hidden = functional.conv2d(
                hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=pad
            )
            hidden = hidden.clamp(min=0)
        name = f"cnns.{block}.conv4"
        hidden = functional.conv_transpose2d(
            hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2
        )
    return hidden + functional.interpolate(lr[..., 6:-6, 6:-6], scale_factor=5, mode="bicubic")


def test_published_network(normal):
    network = wake(of_deepr(ConvBaseline, PUBLISHED))
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if k.endswith("weight")}
    assert shapes == {
        "preprocess_model.weight": (4, 1, 25, 31),
        "cnns.0.conv1.weight": (32, 4, 5, 5),
        "cnns.0.conv2.weight": (16, 32, 3, 3),
        "cnns.0.conv3.weight": (64, 16, 1, 1),
        "cnns.0.conv4.weight": (64, 16, 2, 2),
        "cnns.1.conv1.weight": (32, 16, 5, 5),
        "cnns.1.conv2.weight": (16, 32, 3, 3),
        "cnns.1.conv3.weight": (16, 16, 1, 1),
        "cnns.1.conv4.weight": (16, 4, 2, 2),
        "cnns.2.conv1.weight": (32, 4, 5, 5),
        "cnns.2.conv2.weight": (16, 32, 3, 3),
        "cnns.2.conv3.weight": (4, 16, 1, 1),
        "cnns.2.conv4.weight": (4, 1, 2, 2),
    }
    # 168 kB of numbers; the published file has 176 kB with its table of contents
    assert sum(p.numel() for p in network.parameters()) == 42_089
    assert (network.lr_shape, network.context, network.factor) == ((44, 60), 6, 5)
    lr = normal(2, 1, 44, 60)
    with torch.inference_mode():
        torch.testing.assert_close(network(lr), deepr_forward(network.state_dict(), lr))


def test_first_version_had_the_same_tensors():
    old = {k: v for k, v in PUBLISHED.items() if k not in ("input_shape", "sample_size")}
    old["architectures"] = ["ConvBilinear"]
    assert ConvBaseline.keywords_of_deepr(old) == ConvBaseline.keywords_of_deepr(PUBLISHED)


def test_keywords_survive_json(normal):
    """A card can hold them, and they build the same network."""
    keywords = json.loads(json.dumps(ConvBaseline.keywords_of_deepr(PUBLISHED)))
    network, again = of_deepr(ConvBaseline, PUBLISHED), ConvBaseline(**keywords)
    again.load_state_dict(wake(network).state_dict())
    lr = normal(1, 1, 44, 60)
    with torch.inference_mode():
        assert torch.equal(again.eval()(lr), network(lr))
    for name, parameter in inspect.signature(ConvBaseline.__init__).parameters.items():
        if parameter.default is not parameter.empty:
            json.dumps({name: parameter.default})


def test_one_map_of_covariates_serves_a_batch(normal):
    network = wake(ConvBaseline(1, 1, factor=2, covariate_channels=2, upblock_channels=(8, 4)))
    lr, covariates = normal(3, 1, 4, 5), normal(1, 2, 8, 10)
    out = network(lr, covariates)
    torch.testing.assert_close(out, network(lr, covariates.expand(3, -1, -1, -1)))
    assert not torch.allclose(out, network(lr, -covariates))


@pytest.mark.parametrize("factor", [3, 5, 6, 7, 10, 12])
@pytest.mark.parametrize("context", [0, 1, 6])
def test_folding_leads_to_the_hr_grid(factor, context):
    step = next(n for n in range(1, 17) if n * factor % 2 ** (factor - 1).bit_length() == 0)
    shape = (step + 2 * context, 3 * step + 2 * context)
    found = folding(factor, context, shape)
    for cells, kernel in zip(shape, found.kernel, strict=True):
        assert (cells - kernel + 1) * 2**found.levels == (cells - 2 * context) * factor
    assert found.lr_shape == shape
    with pytest.raises(OptionError, match=rf"multiple of {step}\b.*take {step + 2 * context} in"):
        folding(factor, context, (step + 2 * context + 1, shape[1]))


def test_errors(normal):
    with pytest.raises(OptionError, match=r"factor=5.*lr_shape.*multiple of 8"):
        ConvBaseline(1, 1, factor=5)
    with pytest.raises(OptionError, match="factor=1"):
        ConvBaseline(1, 1, factor=1)
    with pytest.raises(OptionError, match="context=-1"):
        ConvBaseline(1, 1, factor=2, context=-1)
    with pytest.raises(OptionError, match="'cubic'"):
        ConvBaseline(1, 1, factor=2, interpolation="cubic")
    with pytest.raises(OptionError, match=r"1 for 2.*leave interpolation out"):
        ConvBaseline(1, 2, factor=2, interpolation="bicubic")
    with pytest.raises(OptionError, match="upblock_channels"):
        ConvBaseline(1, 1, factor=2, upblock_channels=(8,))
    network = ConvBaseline(1, 1, factor=2, covariate_channels=2)
    with pytest.raises(OptionError, match=r"\(1, 2, 8, 8\).*given none"):
        network(normal(1, 1, 4, 4))
    with pytest.raises(OptionError, match=r"given \(1, 2, 8, 9\)"):
        network(normal(1, 1, 4, 4), normal(1, 2, 8, 9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upblock_channel": [1]}, r"upblock_channel \(nearest: upblock_channels\)"),
        ({"model_type": "conv_swin2sr"}, "conv_swin2sr"),
        ({"model_type": "conv_bilineal"}, "first draft"),
        ({"upscale": 2.5}, "upscale is 2.5"),
        ({"input_shape": [44, 62]}, "all four sides"),
        ({"input_shape": [43, 59]}, "all four sides"),
        ({"input_shape": [30, 46]}, "all four sides"),
        ({"sample_size": [161, 240]}, "all four sides"),
        ({"sample_size": "large"}, "sample_size"),
        ({"sample_size": None, "image_size": None}, "add sample_size"),
    ],
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises(CheckpointError, match=message):
        of_deepr(ConvBaseline, {**PUBLISHED, **changes})
