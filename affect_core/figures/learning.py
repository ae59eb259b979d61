"""What happens while a model learns: losses, scores, agreement between views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    TRAINING_COLOUR,
    VALIDATION_COLOUR,
    count,
    counts_of,
    figure_function,
    grid_lines,
    quantity_name,
    subtitle_of,
    titled_figure,
)

SPLITS = {"train": "training", "training": "training", "val": "validation", "validation": "validation"}


def curves_of(
    records: Iterable[Mapping], asked: frozenset = frozenset()
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Log records as {quantity: {split: (epochs, values)}}.

    A record is a flat dict (`epoch`, `train_loss`, `validation_loss`, ...) or nested by split
    (`{"epoch": 1, "train": {"loss": ...}, "validation": {...}}`). Keys without a split go under "". Values that are
    not finite numbers are left out; so is what only keeps the books (step, seconds, learning_rate, ...) unless `asked`.
    """
    points: dict[str, dict[str, list]] = {}
    for index, record in enumerate(records):
        epoch = record.get("epoch", index)
        for key, value in _flat(record):
            prefix, _, rest = key.replace("/", "_").partition("_")
            split, quantity = (SPLITS[prefix], rest) if prefix in SPLITS and rest else ("", key)
            ignored = quantity in {"epoch", "step", "steps", "seconds", "time", "seed", "learning_rate", "lr"} - asked
            if not ignored and isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
                points.setdefault(quantity, {}).setdefault(split, []).append((epoch, float(value)))
    return {
        quantity: {split: tuple(np.array(pairs, float).T) for split, pairs in splits.items()}
        for quantity, splits in points.items()
    }


def _flat(record: Mapping, prefix: str = ""):
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}_")
        else:
            yield f"{prefix}{key}", value


@figure_function
def learning_curves(
    records: Sequence[Mapping],
    quantities: Sequence[str] | None = None,
    *,
    kept: int | None = None,
    n: int | Mapping[str, int] | None = None,
    unit: str = "faces",
    references: Mapping[str, float] | None = None,
    reference_name: str = "knows nothing",
    best: str = "",
    units: Mapping | None = None,
    source: str = "",
    title: str = "Learning curves",
) -> Figure:
    """One panel a quantity over epochs: training grey, validation blue, the epoch whose weights were kept dashed.

    records     log records, flat or nested; see `curves_of`
    quantities  names without split prefix, in order; None takes all (at most eight)
    kept        the epoch, from 1, whose weights were kept (`record.best_epoch`): one dashed line through all panels,
                with the value there below the axis. None: each panel's own best validation epoch is ringed
    n           images learnt from and judged on, e.g. {"training": 5400, "validation": 600}, in `unit`
    references  quantity -> a level to compare with, e.g. {"total": 1.0}; a dotted line named `reference_name`
    best        for the rings: "low" or "high" for all; "" guesses: losses, errors and divergences low, the rest high
    units       quantity -> what stands at the y axis, where `Y_LABELS` and the guess from its name do not do
    Raises ValueError if none of the quantities was logged.

    >>> learning_curves([{"epoch": 1, "train_loss": 2.0, "validation_loss": 2.1}, {"epoch": 2, "train_loss": 1.5}])
    <Figure size ...>
    """
    curves = curves_of(records, frozenset(quantities or ()))
    names = [name for name in (quantities or list(curves)[:8]) if name in curves]
    if not names:
        raise ValueError(f"none of the asked quantities was logged; the log has {sorted(curves)}")
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    judged = any("validation" in curves[name] for name in names)
    figure, _ = titled_figure(
        max(2.9 * columns, 5.4),
        2.35 * rows,
        title,
        subtitle_of(
            counts_of(n, unit) or count(len(records), "epochs"),
            source,
            "grey: training, blue: validation",
            f"dashed: epoch {kept}, whose weights were kept" if kept is not None else "",
            "ring: best epoch of this panel" if kept is None and judged else "",
        ),
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        for split, colour in (("training", TRAINING_COLOUR), ("", TRAINING_COLOUR), ("validation", VALIDATION_COLOUR)):
            if split in curves[name]:
                epochs, values = curves[name][split]
                axes.plot(epochs, values, color=colour, marker="o" if len(epochs) < 3 else None, markersize=3.5)
        if references and name in references:
            axes.axhline(references[name], color=INK, linewidth=1.2, linestyle=":")
            axes.annotate(reference_name, (0.55, references[name]), (0, -3), xycoords=axes.get_yaxis_transform(),
                          textcoords="offset points", ha="center", va="top", fontsize=8)  # fmt: skip
        axes.set_title(quantity_name(name))
        axes.set_ylabel((units or {}).get(name, _y_label(name)))
        axes.locator_params(axis="both", nbins=5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(y=0.14)
        axes.set_xlabel("epoch")
        if kept is not None:
            _mark_kept(axes, kept, curves[name])
        elif "validation" in curves[name]:
            _mark_best(axes, *curves[name]["validation"], low=_low_is_good(name) if not best else best == "low")
        grid_lines(axes, "y")
    return figure


Y_LABELS = {"total": "loss", "p_mtl": "sum of three scores", "expression_accuracy": "share right",
            "cross_entropy": "nats", "gradient_norm": "norm"}  # fmt: skip


def _y_label(name: str) -> str:
    """What stands at the y axis of a quantity: 'F1', 'CCC', 'MSE', 'loss'; nothing if its name says nothing."""
    known = {"f1": "F1", "ccc": "CCC", "mse": "MSE", "loss": "loss", "accuracy": "share right"}
    if name in Y_LABELS:
        return Y_LABELS[name]
    if name in ("valence_arousal", "expression", "action_units", "auxiliary"):
        return "loss"
    return known.get(name.rpartition("_")[2], "")


def _low_is_good(name: str) -> bool:
    return any(
        word in name
        for word in ("loss", "total", "entropy", "error", "mse", "js", "divergence", "norm", "nll", "brier")
    )


def _mark_kept(axes: Axes, kept: int, splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A dashed line at the kept epoch; the (validation) value there below the axis, where no curve runs through it."""
    axes.axvline(kept, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    epochs, values = splits.get("validation") or next(iter(splits.values()))
    there = np.flatnonzero(epochs == kept)
    if len(there):
        axes.set_xlabel(f"epoch (at {kept}: {values[there[0]]:.3f})")


def _mark_best(axes: Axes, epochs: np.ndarray, values: np.ndarray, *, low: bool) -> None:
    """A ring at the best epoch; its value below the axis."""
    index = int(values.argmin() if low else values.argmax())
    axes.plot(
        epochs[index],
        values[index],
        marker="o",
        markersize=6.5,
        markerfacecolor="white",
        markeredgewidth=1.6,
        color=VALIDATION_COLOUR,
        linestyle="none",
    )
    axes.set_xlabel(f"epoch (best, {epochs[index]:g}: {values[index]:.3g})")


@figure_function
def js_curve(
    epochs,
    divergence: Mapping[str, Sequence[float]],
    *,
    views: int = 2,
    agreement: Mapping[str, Sequence[float]] | None = None,
    intervals: Mapping[str, Sequence] | None = None,
    agreement_intervals: Mapping[str, Sequence] | None = None,
    x_name: str = "epoch",
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "Do the views agree?",
) -> Figure:
    """Jensen-Shannon divergence between the views' predictions along training, in nats, at most log(views).

    epochs      (E,), or whatever else `x_name` says, e.g. "certainty of each view"
    divergence  name -> (E,) nats, e.g. {"with JS loss": ..., "without": ...}
    agreement   name -> (E,) share of faces on which all views name the same expression, or None: a second panel
    intervals   name -> (E, 2) 95 % limits of the divergence, agreement_intervals those of the agreement: bands; or None
    n, unit     how many faces the curves are over

    >>> js_curve([1, 2, 3], {"JS weight 100": [0.3, 0.2, 0.1], "JS weight 0": [0.4, 0.35, 0.3]}, source="synthetic")
    <Figure size ...>
    """
    figure, _ = titled_figure(
        7.6 if agreement else 5.4,
        2.9,
        title,
        subtitle_of(
            counts_of(n, unit), f"{views} views", source,
            f"divergence is at most log {views} = {np.log(views):.3f} nats",
            "band: 95 % interval" if intervals or agreement_intervals else "",
        ),
    )  # fmt: skip
    panels = figure.subplots(1, 2 if agreement else 1, squeeze=False)[0]
    colours = (OURS, "#c2410c", MUTED, "#2f8f9d", "#7a4fa3")
    for axes, series, bands, label, top in (
        (panels[0], divergence, intervals, "JS divergence (nats)", np.log(views)),
        (panels[-1], agreement, agreement_intervals, f"{unit} with one answer (%)", 100.0),
    ):
        for colour, (name, values) in zip(colours * 3, (series or {}).items(), strict=False):
            scale = 100 if top == 100.0 else 1
            values = np.asarray(values, float) * scale
            if bands and name in bands:
                limits = scale * np.asarray(bands[name], float).T
                axes.fill_between(epochs, *limits, color=colour, alpha=0.2, linewidth=0)
            axes.plot(
                epochs, values, color=colour, label=name, marker="o" if len(values) < 12 else None, markersize=3.5
            )
        if series:
            axes.set(xlabel=x_name, ylabel=label, ylim=(0, top * 1.04 if top == 100.0 else None))
            axes.xaxis.get_major_locator().set_params(integer=x_name == "epoch")
            grid_lines(axes, "y")
    if len(divergence) > 1:
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 4))
    return figure
