"""Whether a confidence means what it says."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from affect_core.calibration import expected_calibration_error
from affect_core.figures.arrays import as_array
from affect_core.figures.style import (
    BASELINE,
    INK,
    MUTED,
    OURS,
    count,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)


@figure_function
def reliability_diagram(
    confidence, correct, *, bins: int = 10, source: str = "", unit: str = "faces",
    title: str = "Is it right as often as it is sure?",
) -> Figure:
    """Share of right answers among those given with a confidence in each bin, with 95 % intervals (Wilson); counts.

    confidence  (N,) in [0, 1], the probability of the answer that was given;  correct (N,) bool
    On the diagonal a confidence of 0.8 is right 8 times in 10; below it the model is surer than right. The subtitle
    gives the expected calibration error.

    >>> reliability_diagram(1 - prediction.uncertainty, predicted == annotated, source="synthetic corpus, validation")
    <Figure size ...>
    """
    confidence, correct = as_array(confidence), as_array(correct).astype(bool)
    error = expected_calibration_error(confidence, correct, bins=bins)
    figure, _ = titled_figure(
        4.6, 4.9, title, subtitle_of(count(len(confidence), unit), source, f"calibration error {error:.3f}")
    )
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    there = n > 0
    mean, share, low, high = (np.zeros(bins) for _ in range(4))
    mean[there] = (np.bincount(index, confidence, minlength=bins) / np.maximum(n, 1))[there]
    share[there] = (np.bincount(index, correct, minlength=bins) / np.maximum(n, 1))[there]
    right = np.bincount(index[correct], minlength=bins)
    limits = [binomtest(int(right[k]), int(n[k])).proportion_ci(method="wilson") for k in np.flatnonzero(there)]
    low[there], high[there] = np.array(limits).T
    upper.plot([0, 1], [0, 1], color=BASELINE, linewidth=1.2, linestyle=(0, (4, 3)))
    upper.text(0.03, 0.95, "above the line: too modest, below: too sure", color=MUTED, fontsize=8, va="top")
    upper.errorbar(mean[there], share[there], yerr=[share[there] - low[there], high[there] - share[there]], fmt="o-",
                   color=OURS, ecolor=OURS, elinewidth=1.2, markersize=5)  # fmt: skip
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
    grid_lines(upper, "y")
    lower.bar((np.arange(bins) + 0.5) / bins, n, width=0.9 / bins, color=BASELINE)
    lower.set(xlabel="confidence of the answer", ylabel=unit)
    lower.tick_params(axis="y", labelcolor=INK)
    return figure
