"""Time of ``import xdeepr`` over ``import xarray``.

Fresh processes take turns, so that a busy machine slows both down alike.

    python benchmarks/importing.py [rounds]
"""

from __future__ import annotations

import statistics
import sys

from _common import fresh, report

CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def main(rounds: int = 11) -> None:
    """Print the median ratio of pairs."""
    times: dict[str, list[float]] = {"xarray": [], "xdeepr": []}
    for turn in range(rounds + 1):
        for module, seen in times.items():
            took = fresh("-c", CODE.format(module))
            if turn:  # the first fills the file cache
                seen.append(took)
    middle = {module: statistics.median(seen) for module, seen in times.items()}
    report("import xarray", middle["xarray"], "s")
    report("import xdeepr", middle["xdeepr"], "s")
    pairs = zip(times["xdeepr"], times["xarray"], strict=True)
    report("xdeepr / xarray", statistics.median(a / b for a, b in pairs), target=1.5)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
