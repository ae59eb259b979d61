"""The labels of one face as the JSON object of a shard (see `webdataset_shards`), read and written."""

from __future__ import annotations

from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AROUSAL_RANGE, EXPRESSIONS, VALENCE_RANGE, AffectLabels


def labels_of(known: dict, vocabulary: tuple[str, ...] = EXPRESSIONS) -> AffectLabels:
    """Labels (one row) of a face's JSON object. Raises AffectError, which completes "label ...", if one is wrong."""
    labels = AffectLabels.missing(1, vocabulary)
    for column, (name, (low, high)) in enumerate((("valence", VALENCE_RANGE), ("arousal", AROUSAL_RANGE))):
        if (value := known.get(name)) is not None:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise AffectError(f"{name} is {value!r}, not a number from {low:g} to {high:g}")
            labels.valence_arousal[0, column], labels.valence_arousal_valid[0, column] = value, True
    if (value := known.get("expression")) is not None:
        if value not in vocabulary:
            raise AffectError(f"expression is {value!r}, none of {', '.join(vocabulary)}")
        labels.expression[0], labels.expression_valid[0] = vocabulary.index(value), True
    units = known.get("action_units") or {}
    if not isinstance(units, dict):
        raise AffectError(f"action_units is {units!r}, not an object of units and 0 or 1")
    for unit, value in units.items():
        if unit not in map(str, ACTION_UNITS) or value not in (0, 1):
            raise AffectError(f"action unit {unit!r} is {value!r}; units are {ACTION_UNITS}, and 0 or 1")
        column = ACTION_UNITS.index(int(unit))
        labels.action_units[0, column], labels.action_units_valid[0, column] = value, True
    return labels


def known_of(labels: AffectLabels, row: int) -> dict:
    """The JSON object of one row of numpy labels; the inverse of `labels_of`."""
    known: dict = {}
    if labels.expression_valid[row]:
        known["expression"] = labels.vocabulary[labels.expression[row]]
    for column, name in enumerate(("valence", "arousal")):
        if labels.valence_arousal_valid[row, column]:
            known[name] = float(labels.valence_arousal[row, column])
    units = {str(unit): int(labels.action_units[row, column]) for column, unit in enumerate(ACTION_UNITS)
             if labels.action_units_valid[row, column]}  # fmt: skip
    return known | ({"action_units": units} if units else {})
