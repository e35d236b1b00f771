"""End a batch run as Ctrl-C ends it when a scheduler asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); all that heeds Ctrl-C heeds this too."""

    exit_code = 143
    """The shells' number for it."""


@contextmanager
def terminated() -> Iterator[None]:
    """Raise :class:`Terminated` on SIGTERM while a block runs, so that it can clean up.

    Job schedulers send SIGTERM some seconds before they kill. A handler that somebody else has
    set is left as it is.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; the clean-up is short
    raise Terminated("terminated")
