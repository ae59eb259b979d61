"""The paper's four ideas as experiments: which settings are compared, and one cell of the table after the other.

A cell is one training run with one seed. Finished cells are kept in the run's folder and read again; an interrupted
one goes on. Cells of one idea share data, schedule and seed, so that they differ in the idea alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora import Corpus
from affect_core.dan import DAN
from affect_core.mae import MAE
from affect_core.profiles import Profile
from affect_core.progress import Progress, no_progress
from affect_core.stages import train_cotex, train_emma
from affect_core.training import TrainConfig


@dataclass(frozen=True)
class Cell:
    """One setting of one idea. `changes` replaces fields of the stage's config; `mae` says where the ViT starts."""

    idea: str
    setting: str
    stage: str
    """"emma" or "cotex"."""
    changes: dict = field(default_factory=dict)
    mae: bool = True
    is_paper: bool = False
    """Whether this setting is the paper's choice."""

    @property
    def slug(self) -> str:
        """A folder name."""
        return "".join(letter if letter.isalnum() else "-" for letter in f"{self.idea} {self.setting}".lower())


MAE_PRIOR, SCORES, VIEWS, DIVERGENCE = "MAE pretraining", "scores feed VA", "masked views", "JS divergence"

CELLS = (
    Cell(MAE_PRIOR, "random start (EMMA)", "emma", mae=False),
    Cell(MAE_PRIOR, "MAE start (EMMA)", "emma", is_paper=True),
    Cell(MAE_PRIOR, "random start (CoTEX)", "cotex", mae=False),
    Cell(MAE_PRIOR, "MAE start (CoTEX)", "cotex", is_paper=True),
    Cell(SCORES, "ViT features", "emma", {"va_source": "vit_features"}),
    Cell(SCORES, "ViT scores", "emma", {"va_source": "vit_scores"}),
    Cell(SCORES, "CNN scores", "emma", {"va_source": "cnn_scores"}),
    Cell(SCORES, "both scores", "emma", {"va_source": "both_scores"}, is_paper=True),
    Cell(VIEWS, "one view, nothing hidden", "cotex", {"views": 1, "mask_ratio": 0.0}),
    Cell(VIEWS, "one masked view", "cotex", {"views": 1}),
    Cell(VIEWS, "two masked views", "cotex", {"views": 2}, is_paper=True),
    Cell(DIVERGENCE, "weight 0", "cotex", {"js_weight": 0.0}),
    Cell(DIVERGENCE, "weight 10", "cotex", {"js_weight": 10.0}),
    Cell(DIVERGENCE, "weight 100", "cotex", {"js_weight": 100.0}, is_paper=True),
)
"""The table of notebook 06, in order."""

HEADLINE = {"emma": {MAE_PRIOR: "p_mtl", SCORES: "valence_arousal_ccc"}, "cotex": {}}
"""The score by which an idea is judged, where it is not the stage's own (macro F1 for CoTEX)."""


def run_ablations(
    profile: Profile,
    abaw4: Corpus,
    lsd: Corpus,
    mae: MAE,
    prior: DAN,
    directory: Path,
    *,
    cells: tuple[Cell, ...] = CELLS,
    device="cpu",
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Train every cell with every seed of the profile; a tidy table with a row per cell and seed.

    Columns: idea, setting, is_paper, stage, seed, metric, score (validation, last epoch), images, epochs, seconds.
    The last epoch counts, not the best one, so that no cell gains from being looked at more often.
    """
    emma_data = _subset(abaw4, profile.ablation.emma_images, profile.emma_training.seed)
    cotex_data = _subset(lsd, profile.ablation.cotex_images, profile.cotex_training.seed)
    rows = []
    trained: dict[tuple, dict] = {}
    with progress(len(cells) * profile.ablation.seeds, "ablation cells") as bar:
        for cell in cells:
            for repeat in range(profile.ablation.seeds):
                key = (cell.stage, cell.mae, str(_config(profile, cell)), repeat)
                if key not in trained:  # settings that several ideas share are trained once
                    run = _train_cell(profile, cell, repeat, emma_data, cotex_data, mae, prior, directory, device)
                    trained[key] = run
                rows.append(_row(cell, trained[key]))
                bar.update(1)
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's setting beside each alternative: a row per idea, stage and alternative, in the table's order.

    Columns: idea, stage, metric, paper, alternative (settings), paper_score, score (means over seeds), difference
    (paper's minus alternative's), seeds, apart: True if there are two seeds or more and every seed of one setting
    scores above every seed of the other. One seed is never "apart": how far seeds differ is not known then.
    """
    rows = []
    for (idea, stage), cells in table.groupby(["idea", "stage"], sort=False):
        paper = cells[cells["is_paper"]]
        ours = paper["score"].to_numpy(float)
        for setting, others in cells[~cells["is_paper"]].groupby("setting", sort=False):
            theirs = others["score"].to_numpy(float)
            apart = min(ours) > max(theirs) or max(ours) < min(theirs)
            rows.append({
                "idea": idea, "stage": stage, "metric": cells["metric"].iloc[0],
                "paper": paper["setting"].iloc[0], "alternative": setting, "paper_score": ours.mean(),
                "score": theirs.mean(), "difference": ours.mean() - theirs.mean(), "seeds": len(theirs),
                "apart": bool(apart and len(ours) > 1 and len(theirs) > 1),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _config(profile: Profile, cell: Cell):
    return replace(getattr(profile, cell.stage), **cell.changes)


def _schedule(training: TrainConfig, epochs: int, repeat: int) -> TrainConfig:
    return replace(training, epochs=epochs, warmup_epochs=min(training.warmup_epochs, epochs / 4),
                   validate_every=epochs, seed=training.seed + 1000 * repeat)  # fmt: skip


def _train_cell(profile, cell, repeat, emma_data, cotex_data, mae, prior, directory, device) -> dict:
    folder = Path(directory) / f"{cell.slug}-{repeat}"
    config, start = _config(profile, cell), mae if cell.mae else None
    if cell.stage == "emma":
        training = _schedule(profile.emma_training, profile.ablation.emma_epochs, repeat)
        _, record = train_emma(config, training, profile.emma_augmentation, emma_data, folder,
                               prior=prior, mae=start, device=device)  # fmt: skip
    else:
        training = _schedule(profile.cotex_training, profile.ablation.cotex_epochs, repeat)
        _, record = train_cotex(config, training, profile.cotex_augmentation, cotex_data, folder,
                                mae=start, device=device)  # fmt: skip
    images = len((emma_data if cell.stage == "emma" else cotex_data).split("training"))
    return {"log": record.log[-1], "seconds": record.seconds, "images": images, **asdict(training)}


def _row(cell: Cell, run: dict) -> dict:
    metric = HEADLINE[cell.stage].get(cell.idea, "p_mtl" if cell.stage == "emma" else "expression_f1")
    return {
        "idea": cell.idea, "setting": cell.setting, "is_paper": cell.is_paper, "stage": cell.stage,
        "seed": run["seed"], "metric": metric, "score": run["log"][f"validation_{metric}"],
        "images": run["images"], "epochs": run["epochs"], "seconds": round(run["seconds"], 1),
    }  # fmt: skip


def _subset(corpus: Corpus, images: int, seed: int) -> Corpus:
    """All of the validation split and a random share of `images` from the training split."""
    splits = corpus.table["split"].to_numpy()
    training, validation = np.flatnonzero(splits == "training"), np.flatnonzero(splits == "validation")
    chosen = np.random.default_rng(seed).choice(training, min(images, len(training)), replace=False)
    return corpus.select(np.concatenate([np.sort(chosen), validation]))
