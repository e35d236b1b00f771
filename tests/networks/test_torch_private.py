"""What we rely on inside torch: how a module takes the tensors of a checkpoint."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import nn

from xdeepr.networks.autoencoder import VQAutoencoder
from xdeepr.networks.bounded import TooLargeError, bounded
from xdeepr.networks.building import before_loading


class Renamed(nn.Linear):
    """Its weight was called "old" in a file; as our networks mend names while they load."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        before_loading(self, self.rename)

    @staticmethod
    def rename(_: nn.Module, tensors: dict[str, torch.Tensor], prefix: str, *__: object) -> None:
        tensors[f"{prefix}weight"] = tensors.pop(f"{prefix}old")


def test_a_module_may_change_names_while_it_loads() -> None:
    """With its prefix, also deep inside, and the caller's mapping stays as it was."""
    network = nn.Sequential(nn.ModuleDict({"a": Renamed(2, 2)}))
    state = {"0.a.old": torch.ones(2, 2), "0.a.bias": torch.zeros(2)}
    for each in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert each.load_state_dict(state) == ([], [])
        assert bool((each[0]["a"].weight == 1).all())
    assert set(state) == {"0.a.old", "0.a.bias"}


def test_a_codebook_without_a_record_of_use_counts_as_used() -> None:
    network = VQAutoencoder(1, block_out_channels=[8], norm_num_groups=4, num_vq_embeddings=5)
    state = {k: v for k, v in network.state_dict().items() if k != "usage"}
    assert network.load_state_dict(state) == ([], [])
    assert bool((network.usage == 1).all())


def test_hooks_see_parameters_buffers_and_modules() -> None:
    """They are torch's for all modules; ours are gone when the block ends."""
    for build in (
        lambda: nn.Linear(100, 100),
        lambda: nn.Module().register_buffer("b", torch.zeros(20_000)),
        lambda: nn.Sequential(*[nn.Identity() for _ in range(2000)]),
    ):
        with bounded(tensors=1, numbers=1):
            try:
                build()
            except TooLargeError:
                pass
            else:
                raise AssertionError("nothing was counted")
        build()
