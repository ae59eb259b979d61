"""Arrays in, matplotlib Figure out: one visual language for every figure of the project.

style       colours, order, titles             mosaic      many small pictures on one canvas
arrays      what is drawn, from numpy or torch
faces       sheets, grids, masks               circumplex  valence and arousal, expressions on it
corpus      what is annotated                  agreement   confusion, F1 of action units, thresholds
learning    curves along training              comparison  score parts, ablations
attention   maps over faces                    answers     how often each word is said
cards       one face                           timeline    one video
valence_arousal   predicted beside annotated   interventions   one thing changed, the answer watched
audit       what an audit of a corpus shows    photos      photographs with boxes around the faces
ablation_curves   scores along what was varied differences one setting against another, paired
reconstructions   what an MAE paints           reliability confidence against the share of right answers
alt_text    what a figure says, in words
Every function takes `source`, printed under the title; results on the embedded corpus must say "synthetic" there.
"""

from affect_core.figures.ablation_curves import ablation_curves
from affect_core.figures.agreement import action_unit_bars, confusion_matrix, threshold_curves
from affect_core.figures.answers import answer_histograms
from affect_core.figures.attention import attention_heads, attention_over_faces, occlusion_over_faces
from affect_core.figures.audit import circumplex_histogram, image_sizes
from affect_core.figures.cards import prediction_card
from affect_core.figures.circumplex import circumplex_density, draw_circumplex
from affect_core.figures.comparison import ablation_plot, score_bars
from affect_core.figures.corpus import action_unit_cooccurrence, label_counts
from affect_core.figures.differences import paired_differences
from affect_core.figures.faces import face_grid, face_sheet, masked_views
from affect_core.figures.interventions import (
    attention_distances,
    circumplex_paths,
    influence_bars,
    masking_curve,
)
from affect_core.figures.learning import js_curve, learning_curves
from affect_core.figures.photos import photo_with_faces
from affect_core.figures.reconstructions import reconstruction_sheet
from affect_core.figures.reliability import reliability_diagram
from affect_core.figures.style import ACTION_UNIT_COLOURS, EXPRESSION_COLOURS
from affect_core.figures.timeline import intensity_timeline
from affect_core.figures.valence_arousal import concordance_examples, valence_arousal_plane, valence_arousal_scatter

__all__ = [
    "ACTION_UNIT_COLOURS",
    "EXPRESSION_COLOURS",
    "ablation_curves",
    "ablation_plot",
    "action_unit_bars",
    "action_unit_cooccurrence",
    "answer_histograms",
    "attention_distances",
    "attention_heads",
    "attention_over_faces",
    "circumplex_density",
    "circumplex_histogram",
    "circumplex_paths",
    "concordance_examples",
    "confusion_matrix",
    "draw_circumplex",
    "face_grid",
    "face_sheet",
    "image_sizes",
    "influence_bars",
    "intensity_timeline",
    "js_curve",
    "label_counts",
    "learning_curves",
    "masked_views",
    "masking_curve",
    "occlusion_over_faces",
    "paired_differences",
    "photo_with_faces",
    "prediction_card",
    "reconstruction_sheet",
    "reliability_diagram",
    "score_bars",
    "threshold_curves",
    "valence_arousal_plane",
    "valence_arousal_scatter",
]
