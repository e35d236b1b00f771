"""The two autoencoders behind their interface."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from torch import nn

from xdeepr.errors import OptionError
from xdeepr.networks.autoencoder import KLAutoencoder, VQAutoencoder

SMALL = {"block_out_channels": [8, 8], "norm_num_groups": 4, "latent_channels": 2}
BOTH = pytest.mark.parametrize("cls", [KLAutoencoder, VQAutoencoder])


@pytest.fixture
def generator():
    torch.manual_seed(0)  # the initial weights
    return torch.Generator().manual_seed(0)


def smooth(generator, count=16, size=(16, 16)):
    """Fields whose detail a latent of half the size can hold."""
    coarse = torch.randn(count, 1, size[0] // 4, size[1] // 4, generator=generator)
    return nn.functional.interpolate(coarse, size=size, mode="bicubic")


@BOTH
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_round_trip(cls, levels, channels, generator):
    model = cls(channels, **{**SMALL, "block_out_channels": [8] * levels}).eval()
    d = model.multiple
    assert d == 2 ** (levels - 1)
    x = torch.randn(2, channels, 3 * d, 5 * d, generator=generator)
    latent = model.encode(x)
    assert latent.shape == (2, model.latent_channels, 3, 5) == model.latent_shape(x.shape)
    assert model.decode(latent).shape == x.shape
    torch.testing.assert_close(model(x), model.decode(latent))
    # without randomness
    torch.testing.assert_close(model.encode(x), latent)
    noise = torch.randn(latent.shape, generator=generator)
    reconstruction, regularizer = model.reconstruction_terms(x, noise)
    assert reconstruction.shape == x.shape
    assert regularizer.shape == (2,)
    assert (regularizer >= 0).all()


@BOTH
@pytest.mark.parametrize("attention", [False, True])
def test_keywords_survive_json(cls, attention, generator):
    keywords = {**SMALL, "mid_block_add_attention": attention, "sample_size": [16, 20]}
    if attention:
        keywords |= {
            "down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
            "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
        }
    model, again = cls(1, **keywords), cls(1, **json.loads(json.dumps(keywords)))
    again.load_state_dict(model.state_dict())
    x = torch.randn(1, 1, 8, 8, generator=generator)
    assert torch.equal(model.eval()(x), again.eval()(x))
    assert any("attentions" in name for name, _ in model.named_parameters()) == attention
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if parameter.default is not parameter.empty:
            json.dumps({name: parameter.default})


@BOTH
def test_gradients_reach_every_parameter(cls, generator):
    model = cls(1, **SMALL)
    x = smooth(generator)
    noise = torch.randn(model.latent_shape(x.shape), generator=generator)
    reconstruction, regularizer = model.reconstruction_terms(x, noise)
    ((reconstruction - x).square().mean() + regularizer.mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@BOTH
def test_training_reduces_the_reconstruction_error(cls, generator):
    model = cls(1, **{**SMALL, "block_out_channels": [16, 16]})
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    held_out = smooth(generator, 32)
    for _ in range(60):
        x = smooth(generator)
        noise = torch.randn(model.latent_shape(x.shape), generator=generator)
        reconstruction, regularizer = model.reconstruction_terms(x, noise)
        weight = 1e-4 if cls is KLAutoencoder else 1
        loss = (reconstruction - x).square().mean() + weight * regularizer.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        error = (model.eval()(held_out) - held_out).square().mean() / held_out.var()
    assert error < 0.25  # 1 is the error of a constant


def test_kl_terms(generator):
    """The divergence in closed form; the noise enters with the posterior's spread."""
    model = KLAutoencoder(1, **SMALL).eval()
    x = smooth(generator, 3)
    posterior = model.model.encode(x).latent_dist
    mean, variance = posterior.mean.double(), posterior.logvar.double().exp()
    expected = 0.5 * (mean**2 + variance - 1 - variance.log()).sum(dim=(1, 2, 3)) / 16**2
    noise = torch.randn(model.latent_shape(x.shape), generator=generator)
    reconstruction, regularizer = model.reconstruction_terms(x, noise)
    torch.testing.assert_close(regularizer.double(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(reconstruction, model.decode(mean.float() + posterior.std * noise))
    torch.testing.assert_close(model.reconstruction_terms(x, 0 * noise)[0], model(x))
    assert not torch.allclose(reconstruction, model(x))


def test_vq_regularizer_is_that_of_diffusers(generator):
    model = VQAutoencoder(1, **SMALL, num_vq_embeddings=8).eval()
    nn.init.normal_(model.model.quantize.embedding.weight, generator=generator)
    x = smooth(generator, 4)
    reconstruction, regularizer = model.reconstruction_terms(x)
    _, loss, _ = model.model.quantize(model.encode(x))
    torch.testing.assert_close(regularizer.mean(), loss)
    torch.testing.assert_close(reconstruction, model(x))
    # each entry of the batch has its own
    torch.testing.assert_close(model.reconstruction_terms(x[2:3])[1], regularizer[2:3])


def test_vq_latent_is_continuous_and_decoding_quantizes(generator):
    model = VQAutoencoder(1, **SMALL, num_vq_embeddings=8, vq_embed_dim=5).eval()
    assert model.latent_channels == 5
    codebook = model.model.quantize.embedding.weight
    nn.init.normal_(codebook, generator=generator)
    latent = model.encode(smooth(generator, 4))
    pixels = latent.permute(0, 2, 3, 1).reshape(-1, 5)
    assert (torch.cdist(pixels, codebook).min(dim=1).values > 1e-3).all()
    nearest = codebook[torch.cdist(pixels, codebook).argmin(dim=1)]
    nearest = nearest.reshape(4, 8, 8, 5).permute(0, 3, 1, 2)
    torch.testing.assert_close(model.decode(latent), model.decode(nearest))
    torch.testing.assert_close(model.decode(nearest + 1e-4), model.decode(nearest))


def test_vq_moves_entries_without_users_to_where_the_latents_are(generator):
    """DeepR's codebook, wide entries that all start near zero, would collapse to one entry."""
    model = VQAutoencoder(1, **{**SMALL, "latent_channels": 1}, vq_embed_dim=32)
    x = smooth(generator)
    used = [len(model.model.quantize(model.encode(x))[2][2].unique())]
    for _ in range(2):
        model.reconstruction_terms(x)
        used.append(len(model.model.quantize(model.encode(x))[2][2].unique()))
    assert used[0] < 10
    assert used[1] > 100
    assert float(model.usage.mean()) == pytest.approx(1, abs=0.05)


def test_vq_codebook_stays_in_evaluation_and_where_it_is_used(generator):
    model = VQAutoencoder(1, **SMALL, num_vq_embeddings=4)
    x = smooth(generator)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.eval().reconstruction_terms(x)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model.train().reconstruction_terms(x)  # gives all four a place
    placed = model.model.quantize.embedding.weight.detach().clone()
    model.reconstruction_terms(x)
    assert torch.equal(model.model.quantize.embedding.weight, placed)


def test_vq_takes_weights_without_a_record_of_use(generator):
    """Those of diffusers' VQModel; their codebook is not thrown away."""
    model = VQAutoencoder(1, **SMALL, num_vq_embeddings=16)
    nn.init.normal_(model.model.quantize.embedding.weight, generator=generator)
    foreign = {f"model.{k}": v.clone() for k, v in model.model.state_dict().items()}
    again = VQAutoencoder(1, **SMALL, num_vq_embeddings=16)
    again.load_state_dict(foreign)
    assert (again.usage == 1).all()
    again.train().reconstruction_terms(smooth(generator))
    name = "model.quantize.embedding.weight"
    assert torch.equal(again.state_dict()[name], foreign[name])
    assert "usage" not in foreign


@BOTH
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_out_channels": [8, 9]}, r"\[8, 9\].*norm_num_groups=4"),
        ({"block_out_channels": []}, "one level"),
        ({"down_block_types": ["DownEncoderBlock2D"]}, "down_block_types names 1 blocks"),
        ({"up_block_types": ["Up", "Up"]}, "Up"),
        ({"act_fn": "wave"}, "wave"),
    ],
)
def test_errors(cls, changes, message):
    with pytest.raises(OptionError, match=message):
        cls(1, **{**SMALL, **changes})
