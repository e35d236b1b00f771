"""Figures without pyplot."""

from __future__ import annotations

import subprocess
import sys


def test_figures_show_themselves_without_pyplot():
    code = (
        "import sys; from xdeepr.plotting import plot_training\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = plot_training({'step': [1, 2], 'train_loss': [1.0, 0.5]})\n"
        "assert figure._repr_png_().startswith(b'\\x89PNG')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
