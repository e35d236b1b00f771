"""What constructors of networks share: keywords that are said elsewhere, and a start from zero."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from torch import nn

Options = TypeVar("Options")
Constructor = TypeVar("Constructor", bound=Callable[..., None])


def takes(*sources: Callable[..., Any]) -> Callable[[Constructor], Constructor]:
    """Show in a constructor's signature the keywords that it hands on to others.

    A card's keywords are checked against signatures, and ``help`` shows them.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(kw_only=True)
    ... class Size:
    ...     width: int = 8
    >>> class Net:
    ...     @takes(Size)
    ...     def __init__(self, channels, **keywords):
    ...         self.size = Size(**keywords)
    >>> [p.name for p in inspect.signature(Net).parameters.values()]
    ['channels', 'width']
    """

    def show(constructor: Constructor) -> Constructor:
        own = inspect.signature(constructor)
        more = {
            p.name: p.replace(kind=p.KEYWORD_ONLY)
            for source in sources
            for p in inspect.signature(source).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.name not in own.parameters
        }
        named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        whole = own.replace(parameters=[*named, *more.values()])
        constructor.__signature__ = whole  # type: ignore[attr-defined]
        return constructor

    return show


def apart(cls: type[Options], keywords: dict[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Return a dataclass of options made of those keywords that it has, and the other keywords."""
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    own = {name: value for name, value in keywords.items() if name in names}
    return cls(**own), {k: v for k, v in keywords.items() if k not in names}


def before_loading(network: nn.Module, mend: Callable[..., None]) -> None:
    """Let ``mend(network, tensors, prefix, *_)`` change the tensors that the network is to load.

    They are in a copy of the caller's mapping, and their names begin with the prefix. torch 2.4
    has this hook under its private name only.
    """
    network._register_load_state_dict_pre_hook(mend, with_module=True)


def zero_(layer: nn.Module) -> None:
    """Set the weights of a layer to zero, so that a fresh network predicts 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
