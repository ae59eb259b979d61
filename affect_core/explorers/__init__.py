"""Explorers: a frozen state, a pure function from state to Figure, and a widget whose controls are the state's fields.

action_unit_mixer   a rendered face, and what EMMA reads from it      mixer, mixer_card, mixer_face
masking_lab         what a masked auto-encoder paints in              masking
two_views           CoTEX's views and their divergence                views
attention_browser   attention beside occlusion                        attention
ablation_browser    stored ablations with intervals, along an axis    ablations, ablation_axes
error_browser       validation faces in the order of their error      errors
photo_browser       your photos, uploaded                             photos

The widgets need a notebook; the figures need none. `play(masking_lab, mae, images)` is the widget where somebody can
use it and one sentence in a headless run.
"""

from affect_core.explorers.ablations import AblationState, ablation_browser, ablation_figure
from affect_core.explorers.attention import AttentionState, attention_browser, attention_figure
from affect_core.explorers.errors import ErrorState, error_browser, error_figure
from affect_core.explorers.masking import MaskingState, masking_figure, masking_lab
from affect_core.explorers.mixer import action_unit_mixer
from affect_core.explorers.mixer_card import mixer_figure
from affect_core.explorers.mixer_face import FaceState, preset, render_face
from affect_core.explorers.photos import PhotoState, photo_browser, photo_figure
from affect_core.explorers.shell import Explorer, play
from affect_core.explorers.views import ViewsState, two_views, views_figure

__all__ = [
    "AblationState",
    "AttentionState",
    "ErrorState",
    "Explorer",
    "FaceState",
    "MaskingState",
    "PhotoState",
    "ViewsState",
    "ablation_browser",
    "ablation_figure",
    "action_unit_mixer",
    "attention_browser",
    "attention_figure",
    "error_browser",
    "error_figure",
    "masking_figure",
    "masking_lab",
    "mixer_figure",
    "photo_browser",
    "photo_figure",
    "play",
    "preset",
    "render_face",
    "two_views",
    "views_figure",
]
