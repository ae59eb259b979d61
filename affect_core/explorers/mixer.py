"""The action-unit mixer: turn muscles, identity, pose and light; watch the face and what EMMA reads from it."""

from __future__ import annotations

import ipywidgets as widgets

from affect_core.emma import EMMA
from affect_core.explorers.mixer_card import MixerCard
from affect_core.explorers.mixer_face import NAMES, PRESETS, FaceState, preset
from affect_core.explorers.shell import Explorer, slider, whole_slider
from affect_core.synthetic.expressions import RENDERED_ACTION_UNITS

FRAMES = 20
"""Steps from neutral to apex when played."""

FRAME_MILLISECONDS = 150


def action_unit_mixer(emma: EMMA | None = None, *, state: FaceState | None = None, size: int = 128) -> Explorer:
    """Sliders for action units, identity, pose and light; the face beside EMMA's answer (or what was put in, if None).

    `presets[expression]` (a Button) sets the sliders to an expression; `player` (a Play) moves `intensity` from neutral
    to apex.
    state  where the sliders start: by default happiness.  size  pixels of the rendered face
    Raises AffectError if `emma` is in training mode.
    """
    card = MixerCard(emma, size=size)
    state = state or preset("happiness")
    dials = {
        "intensity": slider(0, 1, state.intensity, 0.01, "intensity"),
        "asymmetry": slider(-1, 1, state.asymmetry, 0.05, "asymmetry"),
        "identity": whole_slider(0, 99, state.identity, "identity"),
        "yaw": slider(-40, 40, state.yaw, 1, "yaw °", digits=0),
        "pitch": slider(-25, 25, state.pitch, 1, "pitch °", digits=0),
        "roll": slider(-25, 25, state.roll, 1, "roll °", digits=0),
        "lamp_azimuth": slider(-100, 100, state.lamp_azimuth, 5, "lamp azimuth °", digits=0),
        "lamp_elevation": slider(-20, 70, state.lamp_elevation, 5, "lamp elevation °", digits=0),
        "lamp": slider(0, 3, state.lamp, 0.1, "lamp"),
    }
    units = {
        f"au{unit}": slider(0, 1, state.action_units.get(unit, 0.0), 0.01, f"AU{unit} {NAMES[unit]}", words=182)
        for unit in RENDERED_ACTION_UNITS
    }

    def draw(**values) -> bytes:
        moved = {unit: values.pop(f"au{unit}") for unit in RENDERED_ACTION_UNITS}
        card.show(FaceState(action_units=moved, **values))
        return card.png()

    presets = {name: widgets.Button(description=name, layout={"width": "auto"}) for name in PRESETS}
    player = widgets.Play(min=0, max=FRAMES, interval=FRAME_MILLISECONDS, value=FRAMES, show_repeat=False)
    aligned = widgets.GridBox(list(units.values()), layout={"grid_template_columns": "repeat(auto-fill, 384px)"})
    rows = [list(presets.values()), [player, *list(dials.values())[:3]], list(dials.values())[3:]]
    explorer = Explorer(dials | units, draw, rows)
    explorer.children = (*explorer.children, aligned)
    explorer.presets, explorer.player = presets, player

    def apply(button: widgets.Button) -> None:
        chosen = preset(button.description)
        with explorer.one_redraw():
            for unit in RENDERED_ACTION_UNITS:
                units[f"au{unit}"].value = chosen.action_units.get(unit, 0.0)
            dials["asymmetry"].value, dials["intensity"].value = chosen.asymmetry, chosen.intensity

    def advance(change) -> None:
        dials["intensity"].value = change["new"] / FRAMES

    for button in presets.values():
        button.on_click(apply)
    player.observe(advance, "value")
    return explorer
