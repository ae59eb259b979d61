"""What the embedded corpus contains: seed, image size and counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np

from affect_core.errors import AffectError
from affect_core.synthetic.circumplex import ANNOTATOR_NOISE

CORPUS_VERSION = 2
"""Raise it when the same configuration would give other pictures or labels: older corpora are then refused."""

CORPUS_IDS = {"abaw4": 1, "affectnet": 2, "lsd": 3, "faces": 4}
"""Part of every image's seed, so that no two corpora share a random stream, and hence no person."""

SPLIT_IDS = {"training": 1, "validation": 2, "unlabelled": 3}


@dataclass(frozen=True)
class EmbeddedCorpusConfig:
    """Settings of `write_embedded_corpus`. The defaults are for a laptop: 20,500 images.

    seed                     any non-negative integer; two seeds share no person
    size                     side of the square images, pixels (16 to 512)
    abaw4_*_videos           videos, each of a person of its own
    frames_per_video         frames that are rendered and labelled in a video
    frame_step               distance between them: every n-th frame of a 30 frames/s video
    affectnet_*, lsd_*       stills, each of a person of its own
    faces                    unlabelled stills
    annotator_noise          standard deviation added to valence and arousal labels (0: exact)
    resting                  strength in [0, 1] of what faces show at rest, see `resting` (0: all rest alike)
    moustaches               share in [0, 1] of grown men with a moustache of its own, see `moustaches`

    A corpus whose counts are all 0 is not written. Raises AffectError for values out of range.
    """

    seed: int = 0
    size: int = 64
    abaw4_training_videos: int = 120
    abaw4_validation_videos: int = 30
    frames_per_video: int = 40
    frame_step: int = 10
    affectnet_training: int = 4000
    affectnet_validation: int = 500
    lsd_training: int = 3000
    lsd_validation: int = 1000
    faces: int = 6000
    annotator_noise: float = ANNOTATOR_NOISE
    resting: float = 0.0
    moustaches: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("annotator_noise", "resting", "moustaches"):
                if not 0 <= value <= 1:
                    raise AffectError(f"{field.name} must lie between 0 and 1, not {value}.")
                continue
            lowest = 1 if field.name in ("frames_per_video", "frame_step") else 0
            if not isinstance(value, (int, np.integer)) or value < lowest:
                raise AffectError(f"{field.name} must be a whole number of at least {lowest}, not {value!r}.")
        if not 16 <= self.size <= 512:
            raise AffectError(f"size must lie between 16 and 512 pixels, not {self.size}.")

    def images(self) -> dict[str, int]:
        """Number of images of each corpus."""
        videos = self.abaw4_training_videos + self.abaw4_validation_videos
        return {
            "abaw4": videos * self.frames_per_video,
            "affectnet": self.affectnet_training + self.affectnet_validation,
            "lsd": self.lsd_training + self.lsd_validation,
            "faces": self.faces,
        }

    def record(self) -> dict:
        """The settings and the version of the generator, as plain JSON values."""
        record = {"version": CORPUS_VERSION, **asdict(self)}
        for added in ("resting", "moustaches"):  # corpora of before they existed are the same
            if not record[added]:
                del record[added]
        return record

    def seed_of(self, corpus: str, split: str, index: int) -> np.random.SeedSequence:
        """The seed of one video or still: it depends on nothing but its arguments, so workers may take any share."""
        return np.random.SeedSequence([self.seed, CORPUS_IDS[corpus], SPLIT_IDS[split], index])

    def expressions_in_random_order(
        self, corpus: str, split: str, count: int, shares: dict[str, float]
    ) -> list[str]:
        """`count` expression names in fixed proportions (largest remainder), shuffled; the same for every worker."""
        names, weights = list(shares), np.array(list(shares.values()), dtype=float)
        exact = count * weights / weights.sum()
        counts = np.floor(exact).astype(int)
        for index in np.argsort(-(exact - counts), kind="stable")[: count - counts.sum()]:
            counts[index] += 1
        in_order = np.repeat(np.arange(len(names)), counts)
        seed = np.random.SeedSequence([self.seed, CORPUS_IDS[corpus], SPLIT_IDS[split]])
        return [names[index] for index in np.random.default_rng(seed).permutation(in_order)]
