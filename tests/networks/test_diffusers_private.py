"""What we rely on inside diffusers' networks; a new version of it may break this file first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DModel, VQModel
from torch import nn

from tests.networks.helpers import numbers, roughen
from xdeepr.errors import OptionError
from xdeepr.networks import diffusers_nets

FIELDS, LEVELS = (2, 3, 8, 8), torch.tensor([3.0, 40.0])


def unet(down: list[str], up: list[str], **options: Any) -> Any:
    """A U-Net of diffusers as it comes, in the widths that every block takes."""
    torch.manual_seed(0)
    return UNet2DModel(
        in_channels=3, out_channels=3, layers_per_block=1, down_block_types=down,
        up_block_types=up,
        norm_num_groups=8, **{"block_out_channels": (32, 32), "attention_head_dim": 1, **options},
    )  # fmt: skip


def plain(**options: Any) -> Any:
    return unet(["DownBlock2D", "AttnDownBlock2D"], ["AttnUpBlock2D", "UpBlock2D"], **options)


def skips() -> Any:
    return unet(["SkipDownBlock2D", "DownBlock2D"], ["UpBlock2D", "SkipUpBlock2D"])


def run(model: Any, fields: torch.Tensor | None = None) -> torch.Tensor:
    fields = numbers(*FIELDS) if fields is None else fields
    return model.eval()(fields, LEVELS, return_dict=False)[0]


def test_heads_that_are_set_are_those_of_a_network_built_with_them() -> None:
    wide = roughen(plain())
    narrow = plain(attention_head_dim=8)
    narrow.load_state_dict(wide.state_dict())
    assert not torch.allclose(run(wide), run(narrow))
    diffusers_nets.set_heads(wide, 8)
    torch.testing.assert_close(run(wide), run(narrow))


def test_k_blocks_normalize_in_groups_that_can_be_set() -> None:
    from diffusers.models.normalization import AdaGroupNorm

    k_blocks = unet(["KDownBlock2D"] * 2, ["KUpBlock2D"] * 2, block_out_channels=(40, 40))
    with pytest.raises(RuntimeError, match="divisible"):  # diffusers has 32 channels in a group
        groups_of(k_blocks, 3)
        run(k_blocks)
    diffusers_nets.set_groups(k_blocks)
    norms = [module for module in k_blocks.modules() if isinstance(module, AdaGroupNorm)]
    assert norms
    assert all(40 % norm.num_groups == 0 for norm in norms)
    assert bool(torch.isfinite(run(k_blocks)).all())


def groups_of(unet: nn.Module, groups: int) -> None:
    """Set groups that do not divide the width, to see that the attribute is what counts."""
    for module in unet.modules():
        if hasattr(module, "num_groups") and hasattr(module, "linear"):
            module.num_groups = groups  # type: ignore[assignment]


def test_skip_blocks_take_any_channels() -> None:
    model = skips()
    model.conv_in = nn.Conv2d(5, 32, 3, padding=1)
    model.conv_out = nn.Conv2d(32, 2, 3, padding=1)
    with pytest.raises(RuntimeError, match="channels"):
        run(model, numbers(2, 5, 8, 8))
    diffusers_nets.set_skips(model, 5, 2)
    assert run(model, numbers(2, 5, 8, 8)).shape == (2, 2, 8, 8)


@pytest.mark.parametrize("build", [plain, skips])
def test_last_layers_are_all_that_gives_the_output(build: Any) -> None:
    model = build()
    assert run(model).std() > 0
    diffusers_nets.predict_zero(model)
    assert bool((run(model) == 0).all())


def test_the_noise_embedding_is_called_with_the_levels() -> None:
    class Spy(nn.Module):
        def forward(self, levels: torch.Tensor) -> torch.Tensor:
            self.seen = levels
            return levels[:, None].expand(-1, 32)

    model, spy = plain(), Spy()
    before = run(model)
    diffusers_nets.set_noise_embedding(model, spy)
    assert not torch.allclose(run(model), before)
    torch.testing.assert_close(spy.seen, LEVELS)


def test_nothing_may_stand_in_the_middle() -> None:
    model = plain()
    before = run(model)
    diffusers_nets.leave_out_middle(model)
    assert not torch.allclose(run(model), before)


def test_k_cross_blocks_run_without_tokens() -> None:
    model = unet(["KDownBlock2D", "KCrossAttnDownBlock2D"], ["KCrossAttnUpBlock2D", "KUpBlock2D"],
                 time_embedding_dim=32)  # fmt: skip
    assert any(getattr(m, "norm_cross", None) is not None for m in model.modules())
    diffusers_nets.without_tokens(model)
    diffusers_nets.set_groups(model)
    assert bool(torch.isfinite(run(model)).all())


def test_errors_name_the_options() -> None:
    keywords = {"block_out_channels": (9, 9), "norm_num_groups": 4, "layers_per_block": 1}
    with pytest.raises(OptionError, match=r"\[9, 9\].*multiples of norm_num_groups"):
        diffusers_nets.build_unet("UNet2DModel", keywords)
    with pytest.raises(OptionError, match=r"does not know an option .*colour"):
        diffusers_nets.build_unet("UNet2DModel", {"colour": 1})
    with pytest.raises(OptionError, match="cannot build VQModel"):
        diffusers_nets.build_autoencoder("VQModel", {"down_block_types": ("Block",)})


@pytest.fixture
def codebook_model() -> Any:
    torch.manual_seed(0)
    model = VQModel(
        in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=2, num_vq_embeddings=16,
    )  # fmt: skip
    nn.init.normal_(diffusers_nets.codebook(model))
    return model.eval()


def test_quantization_takes_the_nearest_entries(codebook_model: Any) -> None:
    latent, entries = numbers(3, 2, 4, 5), diffusers_nets.codebook(codebook_model)
    quantized, index = diffusers_nets.quantize(codebook_model, latent)
    pixels = latent.permute(0, 2, 3, 1).reshape(-1, 2)
    assert torch.equal(index, torch.cdist(pixels, entries).argmin(dim=1))
    expected = entries[index].reshape(3, 4, 5, 2).permute(0, 3, 1, 2)
    torch.testing.assert_close(quantized, expected)


def test_entries_are_decoded_without_another_look(codebook_model: Any) -> None:
    latent = numbers(3, 2, 4, 5)
    quantized, _ = diffusers_nets.quantize(codebook_model, latent)
    decoded = diffusers_nets.decode_entries(codebook_model, quantized)
    torch.testing.assert_close(decoded, codebook_model.decode(latent).sample)
    raw = diffusers_nets.decode_entries(codebook_model, latent)
    assert not torch.allclose(raw, decoded)


def test_the_weight_of_the_codebook_is_that_of_diffusers(codebook_model: Any) -> None:
    """Its own loss, put together from the weight."""
    latent = numbers(3, 2, 4, 5)
    quantized, loss, _ = codebook_model.quantize(latent)
    distance = (quantized - latent).square().mean()
    weight = diffusers_nets.weight_of_codebook(codebook_model)
    assert weight == 0.25
    torch.testing.assert_close(loss, distance * (1 + weight))
