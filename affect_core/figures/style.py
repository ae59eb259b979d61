"""The one visual language of every figure: colours, fonts, titles.

Expressions and action units keep their colour and their order in every figure. The nine expression colours extend
Okabe and Ito's palette (Color Universal Design, 2008); `tests/test_figures.py` holds them apart under simulated
protanopia, deuteranopia and tritanopia. Colour is never the only cue: labels, markers or rows repeat it.
"""

from __future__ import annotations

import functools
import textwrap
import threading
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from affect_core.labels import ACTION_UNIT_NAMES, ACTION_UNITS

EXPRESSION_COLOURS = {
    "neutral": "#8c8c8c",
    "anger": "#d1410c",
    "disgust": "#00795c",
    "fear": "#54278f",
    "happiness": "#eda50a",
    "sadness": "#1769b5",
    "surprise": "#5bbcec",
    "other": "#4a3a2c",
    "contempt": "#d685b4",
}
EXPRESSION_MARKERS = {
    "neutral": "o",
    "anger": "^",
    "disgust": "v",
    "fear": "D",
    "happiness": "P",
    "sadness": "s",
    "surprise": "*",
    "other": "X",
    "contempt": "<",
}

# Upper face blue, lower face orange; within a region from dark to light in the order of ACTION_UNITS.
UPPER_FACE = (1, 2, 4, 6, 7)
_AU_HEXES = ("#08386b", "#1b5fa5", "#3b88c4", "#66aed8", "#98cde8",
             "#6b2a00", "#963d02", "#bf5408", "#de6f16", "#f08d37", "#f7ab66", "#fac796")  # fmt: skip
ACTION_UNIT_COLOURS = dict(zip(ACTION_UNITS, _AU_HEXES, strict=True))

TASK_COLOURS = {"valence_arousal_ccc": "#5d4a9c", "expression_f1": "#e3a72f", "action_unit_f1": "#2f8f9d"}
"""The three parts of P_MTL, under their names in `metrics.mtl_score`."""
QUANTITY_NAMES = {
    "p_mtl": "P_MTL",
    "valence_arousal_ccc": "mean CCC of valence, arousal",
    "valence_ccc": "CCC of valence",
    "arousal_ccc": "CCC of arousal",
    "expression_f1": "macro F1 of expressions",
    "action_unit_f1": "mean F1 of action units",
    "expression_accuracy": "accuracy of expressions",
    "js": "JS divergence",
    "total": "loss",
    "loss": "loss",
    "cross_entropy": "cross entropy",
    "valence_arousal": "valence-arousal loss",
    "expression": "expression loss",
    "action_units": "action unit loss",
    "gradient_norm": "gradient norm",
    "mse": "MSE",
}
"""Logged and scored quantities in words; another snake_case name appears with spaces."""
VALENCE_COLOUR, AROUSAL_COLOUR = "#2f8f9d", "#b3477d"
TRAINING_COLOUR, VALIDATION_COLOUR = "#9aa5b1", "#1769b5"

SERIES_COLOURS = ("#1769b5", "#d1410c", "#00795c", "#eda50a", "#54278f", "#5bbcec", "#4a3a2c")
SERIES_MARKERS = "osD^vPX"
"""Lines that are neither expressions nor action units, in order; colour and marker go together."""

INK, MUTED, RULE, PAPER = "#1f2630", "#69727d", "#e3e6ea", "#ffffff"
OURS, BASELINE, PUBLISHED = "#1769b5", "#b9c0c8", "#4a3a2c"

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "affect_sequential", ["#ffffff", "#cfe1f2", "#7fb3dc", "#2f78b7", "#0b3c73"]
)
"""White to dark blue: densities, rates, counts."""
DIVERGING = LinearSegmentedColormap.from_list(
    "affect_diverging", ["#0b4f8a", "#8fbfe0", "#f7f7f5", "#f3b27a", "#a83d00"]
)
"""Blue, paper, orange: signed quantities, always on a symmetric range."""
HEAT = plt.get_cmap("inferno")
"""Relevance laid over a face."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.edgecolor": "#aab2bb",
    "axes.linewidth": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.dpi": 100,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "image.interpolation": "antialiased",
    "text.parse_math": False,  # a file, folder or label may be named "a$b$.jpg"
    "text.usetex": False,
}


DRAWING = threading.RLock()
"""Held while a figure is made or painted: rcParams and pyplot are of the whole process, and a Jupyter kernel answers
the front end's messages in several threads."""


def figure_function(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: draw in the house style, leave the caller's rcParams alone, and close the figure in pyplot.

    A closed figure is still a Figure (display it, save it); closing only keeps a notebook from showing it twice.
    """

    @functools.wraps(function)
    def draw(*args, **kwargs) -> Figure:
        with DRAWING, plt.rc_context(STYLE), plt.ioff():
            before = set(plt.get_fignums())
            try:
                return function(*args, **kwargs)
            finally:
                for number in set(plt.get_fignums()) - before:
                    plt.close(number)

    return draw


def titled_figure(
    width: float, height: float, title: str, subtitle: str = "", *, note: str = "", layout: str | None = "constrained"
):
    """An empty figure of `width` x `height` inches below a header.

    The title (what is shown) is bold, the subtitle (n, source, how to read it) muted; both wrap to the width, as does
    the note, which stands under the figure (constrained layout only).
    Returns (figure, share of the figure's height that lies below the header).
    """
    title_lines = textwrap.wrap(printable(title), max(24, int(width * 10.5)))
    subtitle_lines = textwrap.wrap(printable(subtitle), max(30, int(width * 15.5)), break_on_hyphens=False)
    note_lines = textwrap.wrap(printable(note), max(30, int(width * 16.5)), break_on_hyphens=False)
    header = 0.14 + 0.21 * len(title_lines) + 0.165 * len(subtitle_lines) + 0.06
    footer = 0.12 + 0.155 * len(note_lines) if note_lines else 0.0
    total = height + header + footer
    figure = plt.figure(figsize=(width, total), layout=layout)
    figure.text(
        0.1 / width,
        1 - 0.1 / total,
        "\n".join(title_lines),
        fontsize=11.5,
        fontweight="bold",
        va="top",
        linespacing=1.2,
    )
    if subtitle_lines:
        figure.text(
            0.1 / width,
            1 - (0.14 + 0.21 * len(title_lines)) / total,
            "\n".join(subtitle_lines),
            fontsize=8.5,
            color=MUTED,
            va="top",
            linespacing=1.25,
        )
    if note_lines:
        figure.text(0.1 / width, 0.06 / total, "\n".join(note_lines), fontsize=8, va="bottom", linespacing=1.25)
    below = height / total
    if layout == "constrained":
        figure.get_layout_engine().set(rect=(0.0, footer / total, 1.0, below))
    return figure, below


def subtitle_of(*parts: str) -> str:
    """The non-empty parts joined by a middle dot: subtitle_of("n = 1,200 faces", "synthetic") etc."""
    return "  ·  ".join(part for part in parts if part)


def printable(text: str) -> str:
    """The text with "?" for what no font can draw: bytes of a file name that are no UTF-8 (surrogates)."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


def quantity_name(name: str) -> str:
    """A logged quantity in words: "expression_f1" is "macro F1 of expressions"; what is in words already stays so."""
    return QUANTITY_NAMES.get(name, name.replace("_", " ") if name.islower() and " " not in name else name)


def count(n: int, unit: str = "faces") -> str:
    """'n = 1,234 faces', 'n = 1 face'."""
    one = {"people": "person"}.get(unit, unit.removesuffix("s"))
    return f"n = {int(n):,} {one if int(n) == 1 else unit}"


def counts_of(n: int | Mapping[str, int] | None, unit: str = "faces") -> str:
    """`count`, or of several parts 'n = training 600, validation 80 faces'; nothing for None."""
    if isinstance(n, Mapping):
        return f"n = {', '.join(f'{name} {int(part):,}' for name, part in n.items())} {unit}"
    return "" if n is None else count(n, unit)


def action_unit_label(unit: int, *, name: bool = True) -> str:
    """'AU12 lip corner puller', or 'AU12'."""
    return f"AU{unit} {ACTION_UNIT_NAMES[unit]}" if name else f"AU{unit}"


def expression_colour(name: str) -> str:
    """The fixed colour of an expression; grey for a word that is not one."""
    return EXPRESSION_COLOURS.get(name, MUTED)


def grid_lines(axes: Axes, axis: str) -> None:
    """Light rules across one axis ('x' or 'y') only."""
    axes.grid(True, axis=axis)
    axes.tick_params(axis=axis, length=0)


def count_bar(figure: Figure, cells, axes: Axes, label: str, **options) -> None:
    """The colour bar of counts on a logarithmic range, labelled 1, 2, 5, 10, 20 ...; `options` go to `colorbar`."""
    bar = figure.colorbar(cells, ax=axes, label=label, format="%d", ticks=LogLocator(subs=(1, 2, 5)), **options)
    bar.minorticks_off()
