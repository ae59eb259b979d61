"""One labelled picture of one person: what all writers share, and the row of ground truth that goes with it.

`ground_truth.csv` is ours, not part of any published format. It holds what only a rendered corpus can know: the
intensity of every action unit, the pose, and the person's age, gender and skin tone, so that error can be studied by
difficulty and by group. One row an image:

    image, split                     path relative to the folder of the csv; which split
    person                           hash of the person: equal in the frames of a video, never across videos or stills
    age, gender, skin_tone           as in `people.Person`
    style                            of scene and camera: clean, video or wild
    yaw, pitch, roll                 head pose, radians
    expression, intensity            name, and intensity of the display in [0, 1]
    valence, arousal                 exact, without annotator noise
    lips_apart_mm                    gap between the lips
    intensity_AU1 ..                 commanded intensity in [0, 1], before co-activation; 45 is a blink
    AU1 ..                           the 0/1 labels, of every image and before any are declared missing
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.labels import ACTION_UNITS
from affect_core.storage import atomic_path
from affect_core.synthetic import degradation, people, renderer, scene
from affect_core.synthetic.circumplex import annotate, valence_arousal
from affect_core.synthetic.dynamics import BLINK, PERFORMED_ACTION_UNITS
from affect_core.synthetic.expressions import FAINTEST, draw_display, draw_intensity
from affect_core.synthetic.facs_coding import code_action_units
from affect_core.synthetic.hairstyles import NO_MOUSTACHE
from affect_core.synthetic.moustaches import with_moustache
from affect_core.synthetic.resting import sample_resting_face

EYES_CLOSED = 43


def as_rendered(action_units: dict[int, float]) -> dict[int, float]:
    """Action units as the renderer knows them: a blink (45) closes the eyes (43)."""
    rendered = {unit: value for unit, value in action_units.items() if unit != BLINK}
    closed = max(rendered.get(EYES_CLOSED, 0.0), action_units.get(BLINK, 0.0))
    if closed > 0:
        rendered[EYES_CLOSED] = closed
    return rendered


def describe(
    image: str, split: str, person: people.Person, view: scene.Scene, style: str, expression: str, intensity: float,
    felt: np.ndarray, action_units: dict[int, float],
) -> dict:  # fmt: skip
    """The ground-truth row of one image (see the module's docstring), of plain JSON values."""
    lips_apart_mm = float(renderer.lips_apart(person, as_rendered(action_units)))
    labels = code_action_units(action_units, lips_apart_mm)
    return {
        "image": image, "split": split, "person": person_hash(person),
        "age": _plain(person.age), "gender": _plain(person.gender), "skin_tone": _plain(person.skin_tone),
        "style": style, "yaw": _plain(view.yaw), "pitch": _plain(view.pitch), "roll": _plain(view.roll),
        "expression": expression, "intensity": _plain(intensity),
        "valence": _plain(felt[0]), "arousal": _plain(felt[1]), "lips_apart_mm": _plain(lips_apart_mm),
        **{f"intensity_AU{unit}": _plain(action_units.get(unit, 0.0)) for unit in PERFORMED_ACTION_UNITS},
        **{f"AU{unit}": int(label) for unit, label in zip(ACTION_UNITS, labels, strict=True)},
    }  # fmt: skip


def draw_still(
    seed: np.random.SeedSequence, *, image: str, split: str, expression: str, population: str, style: str, size: int,
    annotator_noise: float, faintest: float = FAINTEST, resting: float = 0.0,
    moustaches: float = 0.0,
) -> tuple[np.ndarray, dict]:  # fmt: skip
    """A new person with a new display in a new scene: uint8 (size, size, 3) RGB, and its row.

    faintest is the lowest intensity of a display other than neutral; resting is the strength of what the person's face
    shows at rest (`resting`), moustaches the share of grown men with one (`moustaches`). Beside the ground truth the
    row has `valence_label` and `arousal_label`, as an annotator would note them. Person, scene, display, camera,
    annotator, resting face and moustache have random streams of their own.
    """
    person_rng, scene_rng, display_rng, camera_rng, annotator_rng, resting_rng, moustache_rng = map(
        np.random.default_rng, seed.spawn(7)
    )  # fmt: skip
    rest = sample_resting_face(resting_rng, resting)
    person = with_moustache(rest.of(people.sample_person(person_rng, population)), moustache_rng, moustaches)
    view = scene.sample_scene(scene_rng, style)
    display = draw_display(display_rng, expression, max(faintest, draw_intensity(display_rng)))
    moved = rest.under(as_rendered(display.action_units))
    picture = renderer.render(person, moved, view, size=size, asymmetry=display.asymmetry)
    felt = valence_arousal(display.action_units, display.asymmetry)
    row = describe(image, split, person, view, style, expression, display.intensity, felt, display.action_units)
    row["valence_label"], row["arousal_label"] = annotate(felt, annotator_rng, annotator_noise).tolist()
    return degradation.degrade(picture, camera_rng, style), row


def write_ground_truth(path: Path, rows: list[dict]) -> None:
    """`ground_truth.csv` of a corpus: the rows without the annotator's labels."""
    table = pd.DataFrame(rows).drop(columns=["valence_label", "arousal_label"])
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def person_hash(person: people.Person) -> str:
    """16 hex digits that two people share only if everything about them is equal."""
    told = repr(person).replace(f", moustache={NO_MOUSTACHE}", "")  # people of before there were any keep their hash
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _plain(value) -> float | str:
    return value if isinstance(value, str) else round(float(value), 4)
