"""What a face can be labelled with: expressions, action units, valence and arousal.

The order of every column in the project is fixed here and nowhere else. Missing labels are masks: the codes that
the corpora use for "not annotated" (-1, -2, -5) are turned into masks when a file is read and appear nowhere after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from affect_core.errors import AffectError

# -- vocabularies ------------------------------------------------------------------------------------------------------
EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""Expression order of s-Aff-Wild2 and of the ABAW4 multi-task challenge."""

AFFECTNET_EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""Expression order of AffectNet's labels; codes above 7 (none, uncertain, no face) are not expressions."""

LSD_EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""Expression order of the ABAW4 learning-from-synthetic-data challenge (alphabetical)."""

RAFDB_EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""Expression order of RAF-DB, basic set; its label file counts from 1 (surprise) to 7 (neutral)."""

FER2013_EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Expression order of FER2013, counted from 0."""

FERPLUS_EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""Order of the columns of votes in FER+; its last two columns, unknown and NF (no face), are not expressions."""

CORPUS_EXPRESSIONS = {
    "abaw4": EXPRESSIONS,
    "affectnet": AFFECTNET_EXPRESSIONS,
    "lsd": LSD_EXPRESSIONS,
    "rafdb": RAFDB_EXPRESSIONS,
    "fer2013": FER2013_EXPRESSIONS,
    "ferplus": FERPLUS_EXPRESSIONS,
}
"""Corpus -> its expressions in the order of its codes. Maps between them are by name, see `vocabulary_map`."""

EXPRESSION_SPELLINGS = {
    "neutral": ("neutral",), "anger": ("anger", "angrer", "angry"), "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful"), "happiness": ("happiness", "happy"), "sadness": ("sadness", "sad"),
    "surprise": ("surprise", "surprised"), "contempt": ("contempt",), "other": ("other",),
}  # fmt: skip
"""How files and folders spell an expression, in any case. "angrer" is how the LSD challenge spells its folder. No
spelling belongs to two expressions."""

ACTION_UNITS = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
"""The twelve FACS action units of the ABAW4 multi-task challenge, in column order."""

ACTION_UNIT_NAMES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 6: "cheek raiser", 7: "lid tightener",
    10: "upper lip raiser", 12: "lip corner puller", 15: "lip corner depressor", 23: "lip tightener",
    24: "lip pressor", 25: "lips part", 26: "jaw drop",
}  # fmt: skip

VALENCE_RANGE = (-1.0, 1.0)
AROUSAL_RANGE = (-1.0, 1.0)

# -- codes for "not annotated" in published label files ----------------------------------------------------------------
MISSING_VALENCE_AROUSAL = -5
MISSING_EXPRESSION = -1
MISSING_ACTION_UNIT = -1
AFFECTNET_INVALID_VALENCE_AROUSAL = -2


def vocabulary_map(source: tuple[str, ...], target: tuple[str, ...]) -> np.ndarray:
    """Index of each `source` expression in `target`.

    Returns an int64 array (len(source),); -1 where `target` has no such expression. Nothing is merged: contempt
    is not "other", because a rater who chose "other" was not offered contempt.
    """
    position = {name: index for index, name in enumerate(target)}
    return np.array([position.get(name, -1) for name in source], dtype=np.int64)


@dataclass(frozen=True)
class AffectLabels:
    """Labels of N faces, as numpy arrays or as torch tensors (all of one kind).

    valence_arousal        (N, 2) float32 in [-1, 1]; 0 where missing. Columns: valence, arousal.
    valence_arousal_valid  (N, 2) bool
    expression             (N,) int64, index into `vocabulary`; 0 where missing.
    expression_valid       (N,) bool
    action_units           (N, 12) float32, 1 active and 0 inactive; 0 where missing. Columns: ACTION_UNITS.
    action_units_valid     (N, 12) bool
    vocabulary             names of the expressions that `expression` indexes.
    expression_shares      (N, len(vocabulary)) float32 soft labels, which share of the raters chose each expression: a
                           row adds to 1, or is 0 where missing. None if every face has one answer.
    """

    valence_arousal: Any
    valence_arousal_valid: Any
    expression: Any
    expression_valid: Any
    action_units: Any
    action_units_valid: Any
    vocabulary: tuple[str, ...] = EXPRESSIONS
    expression_shares: Any = None

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def expression_target(self) -> tuple[Any, Any]:
        """What `losses.expression_loss` learns from: a target and where it is known, (N,) bool.

        The target is `expression_shares` (N, len(vocabulary)) if there are some, else `expression` (N,).
        """
        if self.expression_shares is None:
            return self.expression, self.expression_valid
        return self.expression_shares, self.expression_shares.any(1)

    def __getitem__(self, rows) -> AffectLabels:
        """The labels of `rows` (slice, index array or boolean mask)."""
        return self._map(lambda array: array[rows])

    def to(self, device) -> AffectLabels:
        """The same labels as torch tensors on `device`."""
        import torch

        return self._map(lambda array: torch.as_tensor(array).to(device))

    def numpy(self) -> AffectLabels:
        """The same labels as numpy arrays."""
        return self._map(lambda array: array if isinstance(array, np.ndarray) else array.detach().cpu().numpy())

    def _map(self, function) -> AffectLabels:
        arrays = {field.name: function(getattr(self, field.name)) for field in fields(self)
                  if field.name != "vocabulary" and getattr(self, field.name) is not None}  # fmt: skip
        return replace(self, **arrays)

    @classmethod
    def missing(cls, n: int, vocabulary: tuple[str, ...] = EXPRESSIONS) -> AffectLabels:
        """`n` faces about which nothing is known (every mask False)."""
        return cls(
            valence_arousal=np.zeros((n, 2), np.float32),
            valence_arousal_valid=np.zeros((n, 2), bool),
            expression=np.zeros(n, np.int64),
            expression_valid=np.zeros(n, bool),
            action_units=np.zeros((n, len(ACTION_UNITS)), np.float32),
            action_units_valid=np.zeros((n, len(ACTION_UNITS)), bool),
            vocabulary=vocabulary,
        )

    @classmethod
    def concatenate(cls, parts: list[AffectLabels]) -> AffectLabels:
        """Stack numpy labels that share one vocabulary. Raises ValueError if they do not.

        If some have soft labels, those of the others are one-hot.
        """
        vocabularies = {part.vocabulary for part in parts}
        if len(vocabularies) != 1:
            raise ValueError(f"labels with different expression vocabularies cannot be stacked: {sorted(vocabularies)}")
        if any(part.expression_shares is not None for part in parts):
            parts = [part._with_shares() for part in parts]
        stacked = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)
                   if field.name != "vocabulary" and getattr(parts[0], field.name) is not None}  # fmt: skip
        return cls(**stacked, vocabulary=vocabularies.pop())

    def _with_shares(self) -> AffectLabels:
        """The same numpy labels with soft ones, one-hot if there were none."""
        if self.expression_shares is not None:
            return self
        one_hot = np.eye(len(self.vocabulary), dtype=np.float32)[self.expression]
        return replace(self, expression_shares=one_hot * self.expression_valid[:, None])


@dataclass(frozen=True)
class AffectPrediction:
    """What a model says about N faces (torch tensors or numpy arrays); None for a task that the model does not have.

    expression_logits   (N, len(vocabulary)) unnormalised scores
    action_unit_logits  (N, 12) unnormalised scores, columns ACTION_UNITS
    valence_arousal     (N, 2), columns valence and arousal; not bounded by the published head
    uncertainty         (N,) in [0, 1]: how likely the first expression is to be wrong; only `predict` gives it
    """

    expression_logits: Any = None
    action_unit_logits: Any = None
    valence_arousal: Any = None
    uncertainty: Any = None
    vocabulary: tuple[str, ...] = EXPRESSIONS

    @staticmethod
    def concatenate(parts: Sequence[AffectPrediction]) -> AffectPrediction:
        """The numpy predictions of one model for some faces, at least one, put together in order."""
        def joined(name: str) -> np.ndarray | None:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        tasks = [field.name for field in fields(AffectPrediction) if field.name != "vocabulary"]
        return AffectPrediction(**{name: joined(name) for name in tasks}, vocabulary=parts[0].vocabulary)

    def numpy(self) -> AffectPrediction:
        """The same prediction as float32 numpy arrays."""
        return self.map(lambda task: task.astype(np.float32, copy=False) if isinstance(task, np.ndarray) else
                        task.detach().float().cpu().numpy())  # fmt: skip

    def map(self, function: Callable[[Any], Any]) -> AffectPrediction:
        """The prediction with `function` applied to every task that the model has."""
        tasks = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "vocabulary"}
        return replace(self, **{name: function(task) for name, task in tasks.items() if task is not None})


def require_one_vocabulary(model: tuple[str, ...], corpus: tuple[str, ...]) -> None:
    """Raises AffectError unless both name the same expressions in the same order, for code 7 of one is another's 3."""
    if tuple(model) != tuple(corpus):
        raise AffectError(
            f"the model answers in the order {', '.join(model)}; the labels count {', '.join(corpus)}. "
            "combine_corpora([corpus], vocabulary) maps the labels by name"
        )
