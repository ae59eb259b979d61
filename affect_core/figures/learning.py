"""What happens while a model learns: losses, scores, agreement between views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.style import (
    MUTED,
    OURS,
    TRAINING_COLOUR,
    VALIDATION_COLOUR,
    count,
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
    best: str = "",
    units: Mapping | None = None,
    source: str = "",
    title: str = "Learning curves",
) -> Figure:
    """One panel a quantity over epochs: training grey, validation blue, the best validation epoch ringed.

    records     log records, flat or nested; see `curves_of`
    quantities  names without split prefix, in order; None takes all (at most eight)
    best        "low" or "high" for all quantities; "" guesses: losses, errors and divergences low, the rest high
    units       quantity -> unit for the y axis, e.g. {"js": "nats"}
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
    figure, _ = titled_figure(
        max(2.7 * columns, 5.4),
        2.3 * rows,
        title,
        subtitle_of(count(len(records), "epochs"), source, "grey: training, blue: validation"),
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        for split, colour in (("training", TRAINING_COLOUR), ("", TRAINING_COLOUR), ("validation", VALIDATION_COLOUR)):
            if split in curves[name]:
                epochs, values = curves[name][split]
                axes.plot(epochs, values, color=colour, marker="o" if len(epochs) < 3 else None, markersize=3.5)
        if "validation" in curves[name]:
            _mark_best(axes, *curves[name]["validation"], low=_low_is_good(name) if not best else best == "low")
        axes.set_title(quantity_name(name))
        axes.set_xlabel("epoch")
        axes.set_ylabel((units or {}).get(name, ""))
        axes.locator_params(axis="both", nbins=5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(y=0.12)
        grid_lines(axes, "y")
    return figure


def _low_is_good(name: str) -> bool:
    return any(
        word in name
        for word in ("loss", "total", "entropy", "error", "mse", "js", "divergence", "norm", "nll", "brier")
    )


def _mark_best(axes, epochs: np.ndarray, values: np.ndarray, *, low: bool) -> None:
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
    axes.annotate(
        f"{values[index]:.3g}",
        (epochs[index], values[index]),
        textcoords="offset points",
        fontsize=8,
        xytext=(0, -7 if low else 7),
        ha="center",
        va="top" if low else "bottom",
        color=VALIDATION_COLOUR,
    )


@figure_function
def js_curve(
    epochs,
    divergence: Mapping[str, Sequence[float]],
    *,
    views: int = 2,
    agreement: Mapping[str, Sequence[float]] | None = None,
    x_name: str = "epoch",
    source: str = "",
    title: str = "Do the views agree?",
) -> Figure:
    """Jensen-Shannon divergence between the views' predictions along training, in nats, at most log(views).

    epochs      (E,), or whatever else `x_name` says, e.g. "certainty of each view"
    divergence  name -> (E,) nats, e.g. {"with JS loss": ..., "without": ...}
    agreement   name -> (E,) share of faces on which all views name the same expression, or None: a second panel

    >>> js_curve([1, 2, 3], {"JS weight 100": [0.3, 0.2, 0.1], "JS weight 0": [0.4, 0.35, 0.3]}, source="synthetic")
    <Figure size ...>
    """
    figure, _ = titled_figure(
        7.6 if agreement else 5.4,
        2.9,
        title,
        subtitle_of(f"{views} views", source, f"divergence is at most log {views} = {np.log(views):.3f} nats"),
    )
    panels = figure.subplots(1, 2 if agreement else 1, squeeze=False)[0]
    colours = (OURS, "#c2410c", MUTED, "#2f8f9d", "#7a4fa3")
    for axes, series, label, top in (
        (panels[0], divergence, "JS divergence (nats)", np.log(views)),
        (panels[-1], agreement, "faces with one answer (%)", 100.0),
    ):
        for colour, (name, values) in zip(colours * 3, (series or {}).items(), strict=False):
            values = np.asarray(values, float) * (100 if top == 100.0 else 1)
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
