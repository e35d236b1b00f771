"""ConvSwin2SR: any factor, and DeepR's published networks."""

from __future__ import annotations

import copy
import inspect
import json

import pytest
import torch
from torch import nn

from tests.networks.helpers import of_deepr
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.networks.conv_swin2sr import ConvSwin2SR
from xdeepr.networks.swin2sr import SwinNetwork

SMALL = {"embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4}

# as DeepR's save_pretrained writes it for the model of the Mediterranean
MEDITERRANEAN = {
    "architectures": ["ConvSwin2SR"],
    "attention_probs_dropout_prob": 0.0,
    "depths": [6, 6, 6, 6, 6, 6],
    "drop_path_rate": 0.1,
    "embed_dim": 180,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "image_size": [32, 48],
    "img_range": 1,
    "initializer_range": 0.02,
    "input_shape": [44, 60],
    "interpolation_method": "bicubic",
    "layer_norm_eps": 1e-05,
    "mlp_ratio": 2.0,
    "model_type": "conv_swin2sr",
    "num_channels": 1,
    "num_heads": [6, 6, 6, 6, 6, 6],
    "num_high_res_covars": 0,
    "num_layers": 6,
    "patch_size": 1,
    "path_norm": True,
    "qkv_bias": True,
    "real_upscale": 5,
    "resi_connection": "1conv",
    "sample_size": [160, 240],
    "torch_dtype": "float32",
    "transformers_version": "4.31.0",
    "upsampler": "pixelshuffle",
    "upscale": 8,
    "use_absolute_embeddings": False,
    "window_size": 5,
}
# one of the same kind, quick to build and run: 12 by 20 LR cells to 40 by 80 HR pixels
LITTLE = {**MEDITERRANEAN, **SMALL, "num_layers": 1, "input_shape": [12, 20]}
LITTLE |= {"sample_size": [40, 80], "image_size": [8, 16], "window_size": 5}


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


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("covariates", [0, 3])
def test_sizes_and_fresh_output(normal, factor, context, covariates):
    power = factor & (factor - 1) == 0
    y, x = (5, 7) if power else (8, 16)
    shape = (y + 2 * context, x + 2 * context)
    network = ConvSwin2SR(
        3, 2, factor=factor, context=context, covariate_channels=covariates, lr_shape=shape, **SMALL
    )
    fields = normal(2, covariates, y * factor, x * factor) if covariates else None
    lr = normal(2, 3, *shape)
    out = network(lr, fields)
    assert out.shape == (2, 2, y * factor, x * factor)
    assert (out == 0).all()
    assert wake(network)(lr, fields).std() > 0
    assert network.lr_shape == (None if power else shape)
    assert network.grid == "lr"
    if power:
        assert network.preprocess_model.kernel_size == (2 * context + 1, 2 * context + 1)


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (17, 2)])
def test_a_power_of_two_takes_any_size(normal, size):
    network = wake(ConvSwin2SR(1, 1, factor=4, context=3, **SMALL))
    large = normal(1, 1, 22, 22)
    before = network(large)
    out = network(normal(1, 1, size[0] + 6, size[1] + 6))
    assert out.shape == (1, 1, 4 * size[0], 4 * size[1])
    assert torch.equal(network(large), before)


def test_context_reaches_the_output(normal):
    network = wake(ConvSwin2SR(1, 1, factor=2, context=3, **SMALL))
    lr = normal(1, 1, 14, 14)
    changed = lr.clone()
    changed[..., 0, 0] += 5
    assert not torch.allclose(network(changed), network(lr))


def test_gradients_reach_every_parameter(normal):
    network = wake(
        ConvSwin2SR(2, 1, factor=5, context=1, covariate_channels=1, lr_shape=(18, 18), **SMALL)
    ).train()
    network(normal(2, 2, 18, 18), normal(2, 1, 80, 80)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_fresh_network_with_interpolation_is_the_interpolation(normal):
    lr = normal(2, 3, 9, 10)
    network = ConvSwin2SR(3, 2, factor=2, context=2, interpolation="bicubic", **SMALL)
    expected = nn.functional.interpolate(lr[:, :2, 2:-2, 2:-2], scale_factor=2, mode="bicubic")
    assert torch.equal(network(lr), expected)


def test_mediterranean_model_has_the_parameters_of_its_training_log():
    with torch.device("meta"):
        network = of_deepr(ConvSwin2SR, MEDITERRANEAN)
    assert sum(p.numel() for p in network.parameters()) == 12_383_377
    assert network.preprocess_model.kernel_size == (25, 31)
    assert (network.lr_shape, network.factor, network.context) == ((44, 60), 5, 6)


def published_names(stages, layers, covariates):
    """Return the names of the tensors as transformers 4 and DeepR made them."""
    pair = ("weight", "bias")
    names = {f"preprocess_model.{p}" for p in pair}
    model = "swin.swin2sr"
    for module in ("first_convolution", "layernorm", "conv_after_body"):
        names |= {f"{model}.{module}.{p}" for p in pair}
    for module in ("projection", "layernorm"):
        names |= {f"{model}.embeddings.patch_embeddings.{module}.{p}" for p in pair}
    for stage in range(stages):
        start = f"{model}.encoder.stages.{stage}"
        names |= {f"{start}.{m}.{p}" for m in ("conv", "patch_embed.projection") for p in pair}
        for layer in range(layers):
            here = f"{start}.layers.{layer}"
            for module in (
                "attention.self.query", "attention.self.value", "attention.output.dense",
                "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after",
                "attention.self.continuous_position_bias_mlp.0",
            ):  # fmt: skip
                names |= {f"{here}.{module}.{p}" for p in pair}
            names |= {
                f"{here}.attention.self.key.weight",
                f"{here}.attention.self.logit_scale",
                f"{here}.attention.self.continuous_position_bias_mlp.2.weight",
            }
    upsample = ("conv_before_upsample", "final_convolution")
    upsample += tuple(f"upsample.convolution_{i}" for i in range(3))
    names |= {f"swin.upsample.{m}.{p}" for m in upsample for p in pair}
    if covariates:
        names |= {f"merge_covars_{m}.{p}" for m in ("interp", "swin2sr") for p in pair}
    return names


@pytest.mark.parametrize("covariates", [0, 2])
def test_tensors_have_the_published_names(covariates):
    network = of_deepr(ConvSwin2SR, {**LITTLE, "num_high_res_covars": covariates})
    assert set(network.state_dict()) == published_names(1, 2, covariates)
    # also inside another module
    outer = nn.ModuleDict({"network": network})
    assert set(outer.state_dict()) == {f"network.{k}" for k in network.state_dict()}


def test_state_goes_round(normal):
    """Names differ between versions of transformers; what is written can be read."""
    network = wake(of_deepr(ConvSwin2SR, LITTLE))
    state = {k: v.clone() for k, v in network.state_dict().items()}
    again = of_deepr(ConvSwin2SR, LITTLE).eval()
    assert again.load_state_dict(state) == ([], [])
    lr = normal(1, 1, 12, 20)
    assert torch.equal(again(lr), network(lr))
    assert set(state) == set(network.state_dict())  # the caller's mapping is left as it was
    nested = nn.ModuleDict({"network": of_deepr(ConvSwin2SR, LITTLE)})
    nested.load_state_dict({f"network.{k}": v for k, v in state.items()})
    assert torch.equal(nested.eval()["network"](lr), network(lr))
    assert torch.equal(copy.deepcopy(network)(lr), network(lr))
    # tables that old versions stored beside the weights
    here = "swin.swin2sr.encoder.stages.0.layers.0.attention.self"
    state[f"{here}.relative_position_index"] = torch.zeros(25, 25)
    state[f"{here}.relative_coords_table"] = torch.zeros(1, 9, 9, 2)
    again.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"query|q_proj"):
        again.load_state_dict({k: v for k, v in state.items() if "query" not in k})
    with pytest.raises(RuntimeError, match="extra"):
        again.load_state_dict({**state, "swin.swin2sr.extra": torch.zeros(1)})


class Layer(nn.Module):
    """A layer as newer versions of transformers have it: other names, the same tensors."""

    def __init__(self):
        super().__init__()
        self.attention = nn.Module()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self.attention, name, nn.Linear(4, 4, bias=name != "k_proj"))
        self.attention.logit_scale = nn.Parameter(torch.ones(2, 1, 1))
        self.attention.continuous_position_bias_mlp = nn.Sequential(
            nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2, bias=False)
        )
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(4, 8), nn.Linear(8, 4)
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(4), nn.LayerNorm(4)


def test_names_are_kept_with_newer_transformers():
    class Network(SwinNetwork):
        def __init__(self):
            super().__init__(1, 1, factor=2)
            self.swin = nn.Module()
            self.swin.layers = nn.ModuleList([Layer()])
            self.preprocess_model = nn.Conv2d(1, 1, 1)

    network = Network()
    here = "swin.swin2sr.encoder.stages.0.layers.0."
    expected = {n.replace(here, "swin.layers.0.") for n in published_names(1, 1, 0) if here in n}
    state = network.state_dict()
    assert set(state) == expected | {"preprocess_model.weight", "preprocess_model.bias"}
    again = Network()
    assert again.load_state_dict(state) == ([], [])
    assert torch.equal(again.swin.layers[0].mlp.fc2.weight, network.swin.layers[0].mlp.fc2.weight)
    assert torch.equal(
        again.swin.layers[0].attention.o_proj.weight,
        state["swin.layers.0.attention.output.dense.weight"],
    )
    # a file that was written with the newer names is read as well
    newer = dict(network.named_parameters())
    assert Network().load_state_dict(newer) == ([], [])


def linear(x, weights, name):
    return nn.functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def conv(x, weights, name, padding=1):
    return nn.functional.conv2d(
        x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=padding
    )


def norm(x, weights, name, eps=1e-5):
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return nn.functional.layer_norm(x, scale.shape, scale, shift, eps)


def attention_reference(cells, weights, name, heads, window, shift):
    """Cosine attention inside windows, pair by pair: (N, y, x, C) -> (N, y, x, C)."""
    count, height, width, channels = cells.shape
    own = f"{name}.attention.self"
    rolled = cells.roll((-shift, -shift), (1, 2))
    # cells that the roll made neighbours may not see each other
    region = torch.zeros(height, width)
    if shift:
        region[-shift:, :] += 1
        region[:, -shift:] += 2
    out = torch.empty_like(rolled)
    steps = torch.arange(window)
    apart = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    apart = (apart[:, None] - apart[None]).float() / (window - 1) * 8
    apart = apart.sign() * (apart.abs() + 1).log2() / 3
    bias = linear(apart, weights, f"{own}.continuous_position_bias_mlp.0").relu()
    bias = linear(bias, weights, f"{own}.continuous_position_bias_mlp.2")
    bias = 16 * bias.sigmoid().permute(2, 0, 1)
    sharp = weights[f"{own}.logit_scale"].clamp(max=torch.tensor(100.0).log()).exp()
    for y in range(0, height, window):
        for x in range(0, width, window):
            box = (slice(y, y + window), slice(x, x + window))
            tokens = rolled[:, box[0], box[1]].reshape(count, -1, channels)
            split = (count, -1, heads, channels // heads)
            query, key, value = (
                linear(tokens, weights, f"{own}.{part}").reshape(split).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            query, key = (nn.functional.normalize(t, dim=-1) for t in (query, key))
            score = query @ key.transpose(-2, -1) * sharp + bias
            here = region[box].reshape(-1)
            score = score.masked_fill(here[:, None] != here[None, :], -torch.inf)
            seen = (score.softmax(-1) @ value).transpose(1, 2).reshape(tokens.shape)
            out[:, box[0], box[1]] = seen.reshape(count, window, window, channels)
    return linear(out.roll((shift, shift), (1, 2)), weights, f"{name}.attention.output.dense")


def swin_reference(fields, weights, *, depth, heads, window, doublings):
    """One stage of Swin2SR with the upsampler pixelshuffle, out of the tensors alone."""
    model = "swin.swin2sr"
    first = conv(fields, weights, f"{model}.first_convolution")
    patch = f"{model}.embeddings.patch_embeddings"
    cells = conv(first, weights, f"{patch}.projection", 0).permute(0, 2, 3, 1)
    start = cells = norm(cells, weights, f"{patch}.layernorm")
    stage = f"{model}.encoder.stages.0"
    for layer in range(depth):
        here = f"{stage}.layers.{layer}"
        seen = attention_reference(
            cells, weights, here, heads, window, window // 2 if layer % 2 else 0
        )
        cells = cells + norm(seen, weights, f"{here}.layernorm_before")
        hidden = nn.functional.gelu(linear(cells, weights, f"{here}.intermediate.dense"))
        hidden = linear(hidden, weights, f"{here}.output.dense")
        cells = cells + norm(hidden, weights, f"{here}.layernorm_after")
    cells = conv(cells.permute(0, 3, 1, 2), weights, f"{stage}.conv")
    cells = conv(cells, weights, f"{stage}.patch_embed.projection", 0).permute(0, 2, 3, 1)
    cells = norm(start + cells, weights, f"{model}.layernorm").permute(0, 3, 1, 2)
    out = conv(cells, weights, f"{model}.conv_after_body") + first
    up = "swin.upsample"
    out = nn.functional.leaky_relu(conv(out, weights, f"{up}.conv_before_upsample"))
    for i in range(doublings):
        out = conv(out, weights, f"{up}.upsample.convolution_{i}")
        out = nn.functional.pixel_shuffle(out, 2)
    return conv(out, weights, f"{up}.final_convolution")


def deepr_reference(weights, lr, covariates=None):
    """DeepR's forward for the little network, independent of transformers and of ours."""
    base = nn.functional.interpolate(lr[..., 2:-2, 2:-2], scale_factor=5, mode="bicubic")
    hidden = conv(lr, weights, "preprocess_model", 0)
    out = swin_reference(hidden, weights, depth=2, heads=2, window=5, doublings=3)
    if covariates is not None:
        tiled = covariates.tile(lr.shape[0], 1, 1, 1)
        base = conv(torch.cat([base, tiled], 1), weights, "merge_covars_interp", 0)
        out = conv(torch.cat([out, tiled], 1), weights, "merge_covars_swin2sr", 0)
    return base + out


@pytest.mark.parametrize("covariates", [0, 2])
def test_same_numbers_as_deepr(normal, covariates):
    # 40 by 80 pixels of 5 to a cell are 5 by 10 cells of 8; two windows along y as well
    config = {**LITTLE, "num_high_res_covars": covariates}
    config |= {"input_shape": [20, 20], "sample_size": [80, 80], "image_size": [16, 16]}
    network = wake(of_deepr(ConvSwin2SR, config))
    lr = normal(2, 1, 20, 20)
    fields = normal(1, covariates, 80, 80) if covariates else None
    with torch.inference_mode():
        expected = deepr_reference(network.state_dict(), lr, fields)
        torch.testing.assert_close(network(lr, fields), expected, rtol=1e-4, atol=1e-4)


def test_three_variables_keep_the_mean_colour_of_deepr(normal):
    """transformers subtracts it, so DeepR's networks were trained with it; ours are not."""
    config = {**LITTLE, "num_channels": 3}
    assert float(of_deepr(ConvSwin2SR, config).swin.swin2sr.mean.abs().sum()) > 1
    ours = ConvSwin2SR(3, 3, factor=2, **SMALL)
    assert (ours(normal(1, 3, 8, 8)) == 0).all()


def test_keywords_survive_json(normal):
    """A card can hold them, and they build the same network."""
    config = {**LITTLE, "num_high_res_covars": 1}
    keywords = json.loads(json.dumps(ConvSwin2SR.keywords_of_deepr(config)))
    network, again = wake(of_deepr(ConvSwin2SR, config)), ConvSwin2SR(**keywords).eval()
    again.load_state_dict(network.state_dict())
    lr, covariates = normal(1, 1, 12, 20), normal(1, 1, 40, 80)
    assert torch.equal(again(lr, covariates), network(lr, covariates))
    for name, parameter in inspect.signature(ConvSwin2SR.__init__).parameters.items():
        if parameter.default is not parameter.empty:
            json.dumps({name: parameter.default})


@pytest.mark.parametrize(
    "dropped",
    [
        ["real_upscale"],
        ["real_upscale", "image_size"],
        ["sample_size"],
        ["num_high_res_covars", "num_layers", "path_norm", "architectures", "model_type"],
        ["interpolation_method", "upsampler", "embed_dim", "depths", "num_heads"],
    ],
)
def test_keys_that_may_be_missing(dropped):
    """The factor follows from the sizes; the rest is DeepR's default."""
    short = {k: v for k, v in MEDITERRANEAN.items() if k not in dropped}
    whole = ConvSwin2SR.keywords_of_deepr(MEDITERRANEAN)
    found = ConvSwin2SR.keywords_of_deepr(short)
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in whole.items()
    }


@pytest.mark.parametrize("upscale", [5, 8])
def test_upscale_before_and_after_saving(upscale):
    """DeepR rounds it up to a power of two when it saves the configuration."""
    config = {k: v for k, v in MEDITERRANEAN.items() if k != "real_upscale"}
    assert ConvSwin2SR.keywords_of_deepr({**config, "upscale": upscale})["factor"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows_size": 5}, r"windows_size \(nearest: window_size\)"),
        ({"conv_channels": [1], "depth": 6}, r"conv_channels.*depth \(nearest: depths\)"),
        ({"model_type": "convbilinear"}, "convbilinear"),
        ({"input_shape": [44, 62]}, "all four sides"),
        ({"real_upscale": 7}, "all four sides"),
        ({"real_upscale": None, "upscale": 4}, "add real_upscale"),
        ({"input_shape": None}, "no input_shape"),
        ({"sample_size": None, "image_size": None}, "no sample_size"),
        ({"num_channels": None}, "num_channels"),
        ({"num_channels_out": 2}, "num_channels_out"),
        ({"use_absolute_embeddings": True}, "use_absolute_embeddings"),
        ({"num_low_res_covars": 2}, "num_low_res_covars"),
        ({"upsampler": "shuffle"}, "'shuffle'"),
        ({"real_upscale": "5"}, "real_upscale is '5'"),
        ({"upscale": -8}, "upscale is -8"),
        ({"hidden_act": 7}, "hidden_act"),
        ({"hidden_act": "wave"}, "wave"),
        ({"window_size": 5.5}, "window_size"),
    ],
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises((CheckpointError, OptionError), match=message):
        of_deepr(ConvSwin2SR, {**MEDITERRANEAN, **changes})


def test_errors(normal):
    with pytest.raises(OptionError, match=r"factor=5.*lr_shape"):
        ConvSwin2SR(1, 1, factor=5, **SMALL)
    with pytest.raises(OptionError, match=r"take 20 in place of 18"):
        ConvSwin2SR(1, 1, factor=5, context=2, lr_shape=(18, 20), **SMALL)
    with pytest.raises(OptionError, match=r"'deepr' with interpolation=None"):
        ConvSwin2SR(1, 1, factor=2, covariate_channels=1, merge="deepr", **SMALL)
    with pytest.raises(OptionError, match="'linear'"):
        ConvSwin2SR(1, 1, factor=2, covariate_channels=1, merge="linear", **SMALL)
    network = ConvSwin2SR(1, 1, factor=2, covariate_channels=1, **SMALL)
    with pytest.raises(OptionError, match="given none"):
        network(normal(1, 1, 8, 8))
