"""A linear face: identity plus actions gives vertices.

    vertices = mean + scores @ basis + weights @ actions        metres; x to the subject's left, y back, z up

Baked from CC0 MakeHuman data by `data/bake_face_asset.py`, see `data/README.md`. The origin lies midway between the
eyeballs; the face looks towards -y. Textures are functions of `canonical`, the mean face in millimetres, and so
follow identity and expression for free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

ASSET = Path(__file__).with_name("assets") / "face.npz"

PARTS = ("skin", "left_eye", "right_eye", "upper_teeth", "lower_teeth", "tongue")
"""What `FaceModel.parts` indexes."""

TEETH_FORWARD = {"upper_teeth": (0.0, -0.0045, -0.0035), "lower_teeth": (0.0, -0.0035, -0.001)}
"""Metres; MakeHuman's teeth lie too deep to show in a smile."""

LOWER_TEETH_ROOTS = -0.080
"""Metres below the eyes; what of the lower teeth lies deeper would pierce receding chins and is left out."""

AGE_ANCHORS = ((0.0, 1 / 3, 2 / 3, 1.0), (1.0, 11.0, 25.0, 90.0))
"""MakeHuman's age slider (baby, child, young, old) and our reading of it in years."""


def trait_features(age, gender, african, asian, caucasian) -> np.ndarray:
    """(n, 24) products of age anchor, gender and ancestry: the terms in which MakeHuman's mean shape is linear.

    (n,) each: age is MakeHuman's slider (see AGE_ANCHORS), gender 0 (female) to 1 (male), ancestries sum to 1.
    """
    age, gender = np.atleast_1d(age), np.atleast_1d(gender)
    ages = np.maximum(0, 1 - np.abs(age[:, None] * 3 - np.arange(4)))  # (n, 4)
    genders = np.stack([1 - gender, gender], 1)  # (n, 2)
    ancestries = np.stack([np.atleast_1d(share) for share in (african, asian, caucasian)], 1)  # (n, 3)
    return np.einsum("na,ng,nr->nagr", ages, genders, ancestries).reshape(len(age), -1)


@dataclass(frozen=True)
class FaceModel:
    """The baked arrays; V vertices, T triangles, K identity components, A actions.

    mean (V, 3), basis (K, V, 3) for scores of unit variance, actions (A, V, 3): metres, float32
    triangles (T, 3) int32, parts (T,) int32 into PARTS; action_index: name -> row of `actions`
    trait_coefficients (24, K), residual_factor (K, K): scores ~ N(trait_features @ coefficients, factor @ factor.T)
    lips, inner_mouth, ears, eyelid, ambient_occlusion: (V,) in [0, 1]
    landmarks: vertex index of nose tip, left mouth corner, right mouth corner, chin (subject's left)
    lip_columns: per strip of the mouth, the vertex indices of the upper and of the lower lip
    part_vertices: the vertex indices of each of PARTS
    """

    mean: np.ndarray
    basis: np.ndarray
    actions: np.ndarray
    action_index: dict[str, int]
    triangles: np.ndarray
    parts: np.ndarray
    trait_coefficients: np.ndarray
    residual_factor: np.ndarray
    lips: np.ndarray
    inner_mouth: np.ndarray
    ears: np.ndarray
    eyelid: np.ndarray
    ambient_occlusion: np.ndarray
    landmarks: np.ndarray
    lip_columns: list[tuple[np.ndarray, np.ndarray]]
    part_vertices: dict[str, np.ndarray]

    @property
    def canonical(self) -> np.ndarray:
        """(V, 3) mean face in millimetres: the coordinates of every texture."""
        return self.mean * 1e3

    def vertices_of(self, part: str) -> np.ndarray:
        """Indices of the vertices of one of PARTS."""
        return self.part_vertices[part]

    def neutral(self, scores: np.ndarray) -> np.ndarray:
        """(V, 3) float32 neutral face in metres for identity scores (K,)."""
        return self.mean + np.einsum("k,kvc->vc", np.asarray(scores, np.float32), self.basis)

    def displacement(self, weights: np.ndarray) -> np.ndarray:
        """(V, 3) float32 metres by which action weights (A,) move the face; the same for everyone."""
        active = np.flatnonzero(weights)
        return np.einsum("a,avc->vc", np.asarray(weights[active], np.float32), self.actions[active])

    def lip_gap(self, vertices: np.ndarray) -> float:
        """Widest vertical opening between the lips in millimetres, 0 when they touch everywhere; vertices (V, 3)."""
        height = vertices[:, 2]
        return max(0.0, 1e3 * max(float(height[upper].min() - height[lower].max())
                                  for upper, lower in self.lip_columns))  # fmt: skip

    def sample_scores(self, traits: np.ndarray, rng: np.random.Generator, spread: float = 1.0) -> np.ndarray:
        """(K,) identity scores of a new face with the given traits (age, gender, african, asian, caucasian).

        A Gaussian around the traits' mean face: no identity is ever drawn twice. spread: standard deviations.
        """
        noise = np.clip(rng.standard_normal(len(self.basis)), -2.5, 2.5)
        return (trait_features(*traits)[0] @ self.trait_coefficients + spread * self.residual_factor @ noise).astype(
            np.float32
        )


@lru_cache(maxsize=1)
def load_face_model() -> FaceModel:
    """The baked face model (3 MB, read once per process, about 0.1 s)."""
    with np.load(ASSET) as asset:
        arrays = {name: asset[name] for name in asset.files}
    names = [str(name) for name in arrays.pop("action_names")]
    model = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    model["triangles"], model["parts"] = arrays["triangles"].astype(np.int32), arrays["parts"].astype(np.int32)
    model["landmarks"] = arrays["landmarks"].astype(np.int64)
    is_root = (model["parts"] == PARTS.index("lower_teeth")) & (
        model["mean"][model["triangles"]][..., 2].max(1) < LOWER_TEETH_ROOTS
    )
    model["triangles"], model["parts"] = model["triangles"][~is_root], model["parts"][~is_root]
    part_vertices = {part: np.unique(model["triangles"][model["parts"] == row]) for row, part in enumerate(PARTS)}
    for part, shift in TEETH_FORWARD.items():
        model["mean"][part_vertices[part]] += np.array(shift, np.float32)
    action_index = {name: row for row, name in enumerate(names)}
    lip_columns = find_lip_columns(model["mean"], model["lips"], model["actions"][action_index["jawOpen"]])
    return FaceModel(action_index=action_index, lip_columns=lip_columns, part_vertices=part_vertices, **model)


def find_lip_columns(mean, lips, jaw_open) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vertex indices of the upper and the lower lip in strips 3 mm wide from side to side of the mouth's middle.

    What the jaw drags along (jaw_open (V, 3), metres) is lower lip, what it leaves in place is upper lip.
    """
    x = mean[:, 0] * 1e3
    moved = -jaw_open[:, 2] > 0.015
    columns = []
    for centre in np.arange(-15, 15.1, 3):
        strip = (lips > 0.5) & (np.abs(x - centre) < 1.5)
        upper, lower = np.flatnonzero(strip & ~moved), np.flatnonzero(strip & moved)
        if len(upper) and len(lower):
            columns.append((upper, lower))
    return columns
