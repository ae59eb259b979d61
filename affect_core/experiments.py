"""The paper's four ideas as experiments: what is compared with what, by which score, over how many seeds.

Designs. Every cell of a comparison fine-tunes on a share of the labels and sees the same number of images; the seed
draws the labelled subset (whole videos for EMMA), the heads, the order and the masks. `evidence` trains the cells,
`evidence_tables` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

IMAGES_SEEN = {"emma": 12_000, "cotex": 12_000}
"""Images that pass through a model in one training, whatever the share of labels: epochs = images seen / images."""

MAIN_SEEDS, OTHER_SEEDS = 5, 3

IDEAS = ("1 MAE prior", "2 scores feed VA", "3 masked views", "4 JS divergence")
"""The paper's four ideas, numbered as in notebook 00; how much each view hides belongs to the third."""


STARTS = {
    "MAE": {},
    "MAE, 10% of the faces": {"faces": 0.1},
    "MAE, ratio 0.25": {"mask_ratio": 0.25},
    "MAE, ratio 0.5": {"mask_ratio": 0.5},
    "MAE, ratio 0.9": {"mask_ratio": 0.9},
}
"""Pretrainings: what is changed from the profile's. All see as many images; "faces" is the share of different ones."""


@dataclass(frozen=True)
class Setting:
    """One configuration. `changes` replaces fields of the stage's config of the profile."""

    stage: str
    """"emma" or "cotex"."""
    start: str = "MAE"
    """"random", or a name in `STARTS`."""
    labels: float = 0.1
    """Share of the training labels."""
    changes: tuple[tuple[str, object], ...] = ()
    batch: int = 1
    """How many times larger the batch is than the profile's."""
    longer: int = 1
    """How many times `IMAGES_SEEN` pass through the model."""

    @property
    def slug(self) -> str:
        """A file name that says it all."""
        parts = [self.stage, self.start, f"{100 * self.labels:g}", *(f"{name} {value}" for name, value in self.changes)]
        parts += [f"batch x{self.batch}"] if self.batch != 1 else []
        parts += [f"longer x{self.longer}"] if self.longer != 1 else []
        return "-".join("".join(letter if letter.isalnum() or letter in "._" else "_" for letter in part)
                        for part in parts).lower()  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """One setting against alternatives: one question, judged by one score.

    The first, the reference, is what the laptop profile does (its weight 10 and ratio 0.5 are not the paper's), or,
    for the batch, the published formula. Among the alternatives are the published weight of 100, the published script's
    ratio of 0, and 0.75, which is how we read the paper's "most patches".
    """

    claim: str
    """One of `IDEAS`."""
    question: str
    metric: str
    reference: tuple[str, Setting]
    """Its name and configuration."""
    others: dict[str, Setting] = field(hash=False)
    main: tuple[str, ...] = ()
    """Alternatives of the main comparison, which get `MAIN_SEEDS`; the rest gets `OTHER_SEEDS`."""
    other_claims: dict[str, str] = field(default_factory=dict, hash=False)
    """Alternatives that test another idea than the question's: what they leave out says which."""

    @property
    def settings(self) -> dict[str, Setting]:
        """All settings by name, the reference first."""
        return dict([self.reference]) | self.others

    def claims_of(self, name: str) -> list[str]:
        """The ideas under which a setting stands: an alternative's own; the reference's, all it is compared for."""
        named = {other: self.other_claims.get(other, self.claim) for other in self.others}
        return list(dict.fromkeys(named.values())) if name == self.reference[0] else [named[name]]

    def seeds_of(self, name: str) -> int:
        """How many seeds a setting gets."""
        return MAIN_SEEDS if name == self.reference[0] or name in self.main else OTHER_SEEDS


LONGER = 5
"""The longer schedule: 60,000 images, about what the laptop profile sees."""


def _emma(longer: int = 1, **changes) -> Setting:
    return Setting("emma", changes=tuple(changes.items()), longer=longer)


def _cotex(longer: int = 1, **changes) -> Setting:
    changes = {"views": 2, "mask_ratio": 0.5, "js_weight": 10.0, **changes}
    return Setting("cotex", changes=tuple(changes.items()), longer=longer)


def _mae_against_random(stage: str, labels: float, metric: str, main: bool) -> Comparison:
    base = replace(_emma() if stage == "emma" else _cotex(), labels=labels)
    name = {"emma": "EMMA", "cotex": "CoTEX"}[stage]
    return Comparison(IDEAS[0], f"{name}, {labels:.0%} of the labels: start from MAE or from random weights?",
                      metric, ("MAE", base), {"random": replace(base, start="random")},
                      ("random",) if main else ())  # fmt: skip


def _pretrainings(stage: str, metric: str) -> Comparison:
    base = _emma() if stage == "emma" else _cotex()
    name = {"emma": "EMMA", "cotex": "CoTEX"}[stage]
    return Comparison(IDEAS[0], f"{name}: from which pretraining? (the profile's hides 0.75 of all faces)", metric,
                      ("MAE", base), {start.removeprefix("MAE, "): replace(base, start=start) for start in STARTS
                                      if start != "MAE"})  # fmt: skip


COMPARISONS = (
    _mae_against_random("emma", 0.1, "p_mtl", True),
    _mae_against_random("cotex", 0.1, "expression_f1", True),
    Comparison(
        IDEAS[1], "What should valence and arousal be regressed from?", "valence_arousal_ccc",
        ("both scores", _emma()),
        {
            "ViT features": _emma(va_source="vit_features"),
            "ViT scores": _emma(va_source="vit_scores"),
            "CNN scores": _emma(va_source="cnn_scores"),
            "both scores, gradient stopped": _emma(va_source="both_scores_detached"),
        },
        ("ViT features",),
    ),
    Comparison(
        IDEAS[2], "One view or two, pulled together or not?", "expression_f1",
        ("two views, JS", _cotex()),
        {
            "one view": _cotex(views=1),
            "one view, nothing hidden": _cotex(views=1, mask_ratio=0.0),
            "two views, no JS": _cotex(js_weight=0.0),
            "three views, JS": _cotex(views=3),
        },
        ("one view", "two views, no JS"), {"two views, no JS": IDEAS[3]},
    ),
    Comparison(
        IDEAS[3], "How heavy should the divergence be? (laptop: 10)", "expression_f1",
        ("10", _cotex()),
        {"0": _cotex(js_weight=0.0), "1": _cotex(js_weight=1.0), "30": _cotex(js_weight=30.0),
         "100 (published)": _cotex(js_weight=100.0)},
        ("100 (published)",),
    ),
    Comparison(
        IDEAS[2], "How much should each view hide? (laptop: 0.5)", "expression_f1",
        ("0.5", _cotex()),
        {"0 (published script)": _cotex(mask_ratio=0.0), "0.25": _cotex(mask_ratio=0.25),
         "0.75 (paper: most)": _cotex(mask_ratio=0.75),
         "0.9": _cotex(mask_ratio=0.9)},
        ("0 (published script)", "0.75 (paper: most)"),
    ),
    _mae_against_random("emma", 0.01, "p_mtl", False),
    _mae_against_random("cotex", 0.01, "expression_f1", False),
    _mae_against_random("emma", 1.0, "p_mtl", False),
    _mae_against_random("cotex", 1.0, "expression_f1", False),
    _pretrainings("emma", "p_mtl"),
    _pretrainings("cotex", "expression_f1"),
    Comparison(
        IDEAS[2], "With the batch enlarged by 1 / (1 - ratio)?", "expression_f1",
        ("0.75, batch x4 (published formula)", replace(_cotex(mask_ratio=0.75), batch=4)),
        {"0.75, batch fixed": _cotex(mask_ratio=0.75), "0, batch fixed": _cotex(mask_ratio=0.0),
         "0.5, batch x2": replace(_cotex(), batch=2), "0.9, batch x10": replace(_cotex(mask_ratio=0.9), batch=10)},
    ),
    Comparison(
        IDEAS[2], "With five times the schedule: one view or two?",
        "expression_f1", ("two views, JS", _cotex(LONGER)),
        {"two views, no JS": _cotex(LONGER, js_weight=0.0), "one view": _cotex(LONGER, views=1),
         "one view, nothing hidden": _cotex(LONGER, views=1, mask_ratio=0.0),
         "two views, JS, start from random": replace(_cotex(LONGER), start="random"),
         "JS of weight 100 (published)": _cotex(LONGER, js_weight=100.0),
         "ratio 0.75 (paper: most)": _cotex(LONGER, mask_ratio=0.75),
         "weight 100 (published), ratio 0.75 (paper: most)": _cotex(LONGER, mask_ratio=0.75, js_weight=100.0)},
        other_claims={"two views, no JS": IDEAS[3], "JS of weight 100 (published)": IDEAS[3],
                      "two views, JS, start from random": IDEAS[0]},
    ),
    Comparison(
        IDEAS[1], "With five times the schedule: from what should valence and arousal be regressed?",
        "valence_arousal_ccc", ("both scores", _emma(LONGER)),
        {"ViT features": _emma(LONGER, va_source="vit_features"), "ViT scores": _emma(LONGER, va_source="vit_scores"),
         "CNN scores": _emma(LONGER, va_source="cnn_scores")},
    ),
    Comparison(
        IDEAS[1], "From the ViT alone: its scores or its features for valence and arousal?", "valence_arousal_ccc",
        ("ViT scores", _emma(va_source="vit_scores")), {"ViT features": _emma(va_source="vit_features")},
    ),
    Comparison(
        IDEAS[1], "From the ViT alone, with five times the schedule: its scores or its features?",
        "valence_arousal_ccc", ("ViT scores", _emma(LONGER, va_source="vit_scores")),
        {"ViT features": _emma(LONGER, va_source="vit_features")},
    ),
    Comparison(
        IDEAS[0], "With five times the schedule: start EMMA from MAE or from random weights?", "p_mtl",
        ("MAE", _emma(LONGER)), {"random": replace(_emma(LONGER), start="random")},
    ),
)  # fmt: skip
"""The experiments, in order of training."""


@dataclass(frozen=True)
class Cell:
    """One training: a setting and a seed."""

    setting: Setting
    seed: int

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.setting.slug}-seed{self.seed}"


def cells() -> list[Cell]:
    """Every cell of every comparison, once, comparison by comparison; settings that several share are one."""
    wanted = [Cell(setting, seed) for comparison in COMPARISONS
              for seed in range(MAIN_SEEDS) for name, setting in comparison.settings.items()
              if seed < comparison.seeds_of(name)]  # fmt: skip
    return list(dict.fromkeys(wanted))
