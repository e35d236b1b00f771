"""Swin2SR as a network on the LR grid."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks.lr_parts import CovariateHead, baseline
from xdeepr.networks.swin2sr import Swin2SR
from xdeepr.networks.transformers_swin import DropPath

SMALL = {"embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": 4}


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


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 2)])
def test_sizes_and_fresh_output(normal, factor, context, size):
    network = Swin2SR(3, 2, factor=factor, context=context, covariate_channels=1, **SMALL)
    height, width = (factor * n for n in size)
    lr = normal(2, 3, size[0] + 2 * context, size[1] + 2 * context)
    covariates = normal(2, 1, height, width)
    out = network(lr, covariates)
    assert out.shape == (2, 2, height, width)
    assert (out == 0).all()
    assert torch.isfinite(wake(network)(lr, covariates)).all()
    assert (network.grid, network.lr_shape, network.multiple) == ("lr", None, 1)


@pytest.mark.parametrize(
    "upsampler", ["pixelshuffle", "pixelshuffledirect", "nearest+conv", "pixelshuffle_aux"]
)
@pytest.mark.parametrize("resi_connection", ["1conv", "3conv"])
def test_upsamplers(normal, upsampler, resi_connection):
    network = Swin2SR(3, 3, factor=4, upsampler=upsampler, resi_connection=resi_connection, **SMALL)
    lr = normal(1, 3, 6, 9)
    assert (network(lr) == 0).all()  # three channels too: no mean colour is added
    out = wake(network)(lr)
    assert out.shape == (1, 3, 24, 36)
    assert out.std() > 0


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "nearest"])
def test_fresh_network_with_interpolation_is_the_interpolation(normal, mode):
    lr = normal(2, 3, 9, 10)
    network = Swin2SR(3, 2, factor=2, context=2, interpolation=mode, **SMALL)
    expected = nn.functional.interpolate(lr[:, :2, 2:-2, 2:-2], scale_factor=2, mode=mode)
    assert torch.equal(network(lr), expected)
    assert torch.equal(baseline(lr, 2, 2, 2, mode), expected)


def test_interpolation_is_added_to_the_output(normal):
    plain = wake(Swin2SR(2, 2, factor=2, context=1, **SMALL))
    added = wake(Swin2SR(2, 2, factor=2, context=1, interpolation="bicubic", **SMALL))
    lr = normal(1, 2, 8, 8)
    torch.testing.assert_close(added(lr) - plain(lr), baseline(lr, 1, 2, 2, "bicubic"))


def test_context_is_seen_and_cut(normal):
    network = wake(Swin2SR(1, 1, factor=2, context=2, **SMALL))
    lr = normal(1, 1, 12, 12)
    out = network(lr)
    changed = lr.clone()
    changed[..., 1, 6] += 5  # in the context above
    assert network(changed).shape == out.shape == (1, 1, 16, 16)
    assert not torch.allclose(network(changed), out)
    # the same cells without a context give the same field, uncut
    whole = Swin2SR(1, 1, factor=2, **SMALL).eval()
    whole.load_state_dict(network.state_dict())
    torch.testing.assert_close(whole(lr)[..., 4:-4, 4:-4], out)


def test_a_shift_by_a_window_shifts_the_output(normal):
    """Windows are laid from the low edge on, so that this holds away from the other edges."""
    network = wake(Swin2SR(1, 1, factor=2, **SMALL))
    lr = normal(1, 1, 40, 40)
    whole, part = network(lr), network(lr[..., 4:, 8:])
    torch.testing.assert_close(
        whole[..., 32:-32, 40:-32], part[..., 24:-32, 24:-32], rtol=1e-4, atol=1e-4
    )


def test_padding_is_no_part_of_the_field(normal):
    """A size that is no multiple of the window is that of the reflected field, cut."""
    network = wake(Swin2SR(1, 1, factor=2, **SMALL))
    lr = normal(1, 1, 9, 10)
    padded = nn.functional.pad(lr, (0, 2, 0, 3), mode="reflect")
    torch.testing.assert_close(network(lr), network(padded)[..., :18, :20])


def test_a_small_field_leaves_no_trace(normal):
    """Versions of transformers stop shifting windows for good once they saw a single window."""
    network = wake(Swin2SR(1, 1, factor=2, **SMALL))
    large, seen = normal(1, 1, 16, 16), []
    before = network(large)
    network.swin.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(tuple(kwargs["pixel_values"].shape[-2:])),
        with_kwargs=True,
    )
    for size in [(4, 4), (4, 20), (20, 4), (1, 1), (3, 9)]:
        network(normal(1, 1, *size))
    assert seen == [(8, 8), (8, 20), (20, 8), (8, 8), (8, 12)]
    assert torch.equal(network(large), before)


def test_entries_of_a_batch_do_not_mix(normal):
    network = wake(Swin2SR(1, 1, factor=2, covariate_channels=2, **SMALL))
    lr, covariates = normal(3, 1, 8, 8), normal(3, 2, 16, 16)
    out = network(lr, covariates)
    torch.testing.assert_close(network(lr[1:2], covariates[1:2]), out[1:2])
    # one map of covariates serves all entries
    torch.testing.assert_close(
        network(lr, covariates[:1]), network(lr, covariates[:1].expand(3, -1, -1, -1))
    )
    assert not torch.allclose(network(lr, -covariates), out)


def test_gradients_reach_every_parameter(normal):
    network = wake(Swin2SR(2, 1, factor=4, context=1, covariate_channels=1, **SMALL)).train()
    network(normal(2, 2, 9, 10), normal(2, 1, 28, 32)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_training_starts_from_zero(normal):
    """Zeros in the last layer do not keep it from learning."""
    torch.manual_seed(0)
    network = Swin2SR(1, 1, factor=2, drop_path_rate=0, **SMALL)
    lr = normal(4, 1, 8, 8)
    target = nn.functional.interpolate(lr, scale_factor=2, mode="nearest")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(40):
        loss = (network(lr) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * target.square().mean()


def test_keywords_survive_json(normal):
    keywords = {"factor": 4, "context": 1, "img_range": 2, "mlp_ratio": 2, "lr_shape": [8, 9]}
    keywords |= {
        "hidden_dropout_prob": 0,
        "drop_path_rate": 0,
        "upsampler": "pixelshuffle",
        **SMALL,
    }
    network, again = Swin2SR(1, 1, **keywords), Swin2SR(1, 1, **json.loads(json.dumps(keywords)))
    again.load_state_dict(wake(network).state_dict())
    lr = normal(1, 1, 8, 9)
    assert torch.equal(again.eval()(lr), network(lr))
    for name, parameter in inspect.signature(Swin2SR.__init__).parameters.items():
        if parameter.default is not parameter.empty:
            json.dumps({name: parameter.default})


def test_img_range_scales_input_and_output(normal):
    """transformers takes no whole number here; a factor on both sides is what it means."""
    lr = normal(1, 1, 8, 8)
    one, two = (
        wake(Swin2SR(1, 1, factor=2, img_range=r, upsampler="pixelshuffle", **SMALL))
        for r in (1, 2)
    )
    torch.testing.assert_close(two(lr), one(2 * lr) / 2)


def test_layers_are_dropped_in_training_only(normal):
    """At even steps up to the rate; transformers forgets the rate in some versions."""
    options = {**SMALL, "depths": [2, 2], "num_heads": [2, 2]}
    lr = normal(1, 1, 8, 8)
    torch.manual_seed(0)
    never = wake(Swin2SR(1, 1, factor=2, drop_path_rate=0, **options)).train()
    assert torch.equal(never(lr), never(lr))
    often = wake(Swin2SR(1, 1, factor=2, drop_path_rate=0.8, **options))
    assert torch.equal(often(lr), never(lr))
    often.train()
    assert len({float(often(lr).detach().sum()) for _ in range(10)}) > 3
    rates = [m.rate for m in often.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_drop_path_keeps_the_mean():
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert {round(v, 5) for v in dropped.unique().tolist()} == {0, round(1 / 0.75, 5)}
    assert (dropped == dropped[:, :1, :1]).all()  # an entry as a whole
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)


def test_covariate_head_starts_as_the_identity(normal):
    head, fields, covariates = CovariateHead(2, 3), normal(1, 2, 5, 5), normal(1, 3, 5, 5)
    assert torch.equal(head(fields, covariates), fields)
    assert not torch.allclose(wake(head)(fields, covariates), wake(head)(fields, -covariates))


def test_transformers_is_not_imported_before_it_is_needed():
    code = (
        "import sys, xdeepr.networks.swin2sr, xdeepr.networks.conv_swin2sr,"
        " xdeepr.networks.conv_baseline; sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"factor": 5}, "factor=5.*conv-swin2sr"),
        ({"factor": 16}, "factor=16.*conv-swin2sr"),
        ({"factor": 1}, "factor=1"),
        ({"context": -1}, "context=-1"),
        ({"interpolation": "cubic"}, "'cubic'"),
        ({"embed_dim": 9}, r"embed_dim=9.*\[2\]"),
        ({"num_heads": [2, 2]}, "same stages"),
        ({"depths": [], "num_heads": []}, "same stages"),
        ({"window_size": 1}, "window_size=1"),
        ({"drop_path_rate": 1}, "drop_path_rate=1"),
        ({"hidden_act": "wave"}, "wave"),
        ({"qkv_bias": "yes"}, "qkv_bias"),
        ({"patch_size": 2}, "patch_size=2"),
        ({"upsampler": "shuffle"}, "'shuffle'.*pixelshuffle"),
        ({"upsampler": "nearest+conv"}, "by 4, not by 2"),
        ({"upsampler": "pixelshuffle_aux"}, "3 channels"),
        ({"resi_connection": "2conv"}, "'2conv'"),
    ],
)
def test_errors(keywords, message):
    with pytest.raises(OptionError, match=message):
        Swin2SR(1, 1, **{"factor": 2, **SMALL, **keywords})


def test_covariates_of_another_shape_are_refused(normal):
    network = Swin2SR(1, 1, factor=2, covariate_channels=2, **SMALL)
    with pytest.raises(OptionError, match=r"\(1, 2, 16, 16\).*given none"):
        network(normal(1, 1, 8, 8))
    with pytest.raises(OptionError, match=r"given \(1, 2, 8, 8\)"):
        network(normal(1, 1, 8, 8), normal(1, 2, 8, 8))
