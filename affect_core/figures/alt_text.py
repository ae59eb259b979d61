"""What a figure says, in words, for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.figure import Figure

MOST_PANELS = 8


def alt_text(figure: Figure) -> str:
    """Caption (if the report was given one), header and notes, then panels and what their axes show, as one paragraph.

    A figure that says nothing gives "".
    """
    sentences = [getattr(figure, "affect_caption", ""), *(text.get_text() for text in figure.texts)]
    sentences += [_listed("Panels", (_title(axes) for axes in figure.axes)),
                  _listed("Across", (axes.get_xlabel() for axes in figure.axes)),
                  _listed("Upwards", (axes.get_ylabel() for axes in figure.axes))]  # fmt: skip
    said = [" ".join(sentence.split()).rstrip(".") for sentence in sentences]
    return " ".join(sentence if sentence[-1] in "?!" else f"{sentence}." for sentence in said if sentence)


def _title(axes) -> str:
    return next((title for place in ("left", "center", "right") if (title := axes.get_title(loc=place))), "")


def _listed(name: str, words: Iterable[str]) -> str:
    """ "Panels: one; two", each once, the rest counted; "" for none."""
    once = list(dict.fromkeys(" ".join(word.split()) for word in words if word.strip()))
    rest = [f"and {len(once) - MOST_PANELS} more"] if len(once) > MOST_PANELS else []
    return f"{name}: {'; '.join(once[:MOST_PANELS] + rest)}" if once else ""
