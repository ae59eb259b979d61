"""The four training stages: what is trained on what, with which loss, and how it is validated.

Each takes its settings, its corpus and a folder, and returns the model with the kept weights and its record. A stage
that is already finished in its folder is loaded, one that was interrupted goes on (see `training.fit`). A stage that is
validated on a split of its corpus refuses one that shares videos or people with the training split (see `splits`).
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from affect_core.augment import Augmentation, prepare
from affect_core.batches import FaceBatches, predict_corpus
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, EXPRESSIONS, AffectPrediction, require_one_vocabulary
from affect_core.losses import ACTION_UNIT_POS_WEIGHT, positive_weights
from affect_core.mae import MAE, MAEConfig
from affect_core.metrics import lsd_score, mtl_score
from affect_core.optim import parameter_groups
from affect_core.priors import ExpressionPrior, TimmPrior, TimmPriorConfig, build_prior
from affect_core.progress import Progress, no_progress
from affect_core.splits import refuse_shared_groups
from affect_core.stage_losses import cotraining_loss, emma_loss, mae_loss, prior_loss
from affect_core.training import TrainConfig, TrainRecord, fit
from affect_core.vit import ViTEncoder

VALIDATION_NOISE_SEED = 20220711
"""Seed of the masks under which reconstructions are validated: the same ones every epoch."""


def pretrain_mae(
    config: MAEConfig,
    training: TrainConfig,
    augmentation: Augmentation,
    faces: Corpus,
    directory: Path,
    *,
    held_out: int = 256,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> tuple[MAE, TrainRecord]:
    """Masked auto-encoding on unlabelled faces.

    The last `held_out` images (at most a fifth of them) are not trained on; the loss on them is logged.
    """
    torch.manual_seed(training.seed)
    model = MAE(config)
    count = max(1, min(held_out, len(faces) // 5))
    seen, unseen = faces.select(np.arange(len(faces) - count)), faces.select(np.arange(len(faces) - count, len(faces)))
    size = config.vit.image_size

    def evaluate(model: MAE) -> dict[str, float]:
        generator = torch.Generator().manual_seed(VALIDATION_NOISE_SEED)
        losses = []
        for start in range(0, len(unseen), 128):
            rows = np.arange(start, min(start + 128, len(unseen)))
            images = prepare(torch.from_numpy(unseen.images[rows]).to(device), size)
            losses.append(float(model(images, generator=generator).loss) * len(rows))
        return {"total": sum(losses) / len(unseen)}

    record = fit(
        model, FaceBatches(seen, augmentation, size, device), mae_loss, training, directory, evaluate=evaluate,
        groups=_groups(model, training), validation=unseen.fingerprint, device=device, progress=progress,
    )  # fmt: skip
    return model, record


def train_prior(
    config: DANConfig | TimmPriorConfig,
    training: TrainConfig,
    augmentation: Augmentation,
    corpus: Corpus,
    size: int,
    directory: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> tuple[DAN | TimmPrior, TrainRecord]:
    """The expression CNN on AffectNet's eight classes, with `prior_loss`; the epoch with the best macro F1 is kept.

    Raises AffectError for another number of expressions than the config's, and for eight in another order than
    AffectNet's, in which EMMA's users read the scores (`prediction.to_expressions`).
    """
    refuse_shared_groups(corpus)
    vocabulary = corpus.labels.vocabulary
    if config.num_classes == len(AFFECTNET_EXPRESSIONS):
        require_one_vocabulary(AFFECTNET_EXPRESSIONS, vocabulary)
    elif config.num_classes != len(vocabulary):
        raise AffectError(f"the prior has {config.num_classes} classes, corpus {corpus.name} has {len(vocabulary)}: "
                          f"{', '.join(vocabulary)}")  # fmt: skip
    torch.manual_seed(training.seed)
    model = build_prior(config)
    validation = corpus.split("validation")

    def evaluate(model: DAN) -> dict[str, float]:
        return _numbers(lsd_score(predict_expressions(model, validation, size, device), validation.labels))

    record = fit(
        model, FaceBatches(corpus.split("training"), augmentation, size, device), prior_loss, training, directory,
        evaluate=evaluate, monitor="expression_f1", validation=validation.fingerprint, device=device,
        progress=progress, groups=_groups(model, training),
    )  # fmt: skip
    return model, record


def predict_expressions(model: DAN, corpus: Corpus, size: int, device: torch.device | str = "cpu") -> AffectPrediction:
    """The prior's expression logits for every image of a corpus, in whose vocabulary it was trained."""
    vocabulary = corpus.labels.vocabulary
    return predict_corpus(
        lambda images: AffectPrediction(expression_logits=model(images), vocabulary=vocabulary), corpus, size, device
    )


def train_emma(
    config: EMMAConfig,
    training: TrainConfig,
    augmentation: Augmentation,
    corpus: Corpus,
    directory: Path,
    *,
    prior: DAN | ExpressionPrior | None = None,
    mae: MAE | ViTEncoder | None = None,
    start: EMMA | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> tuple[EMMA, TrainRecord]:
    """Multi-task fine-tuning on s-Aff-Wild2; `mae=None` starts the ViT from random weights.

    start: a trained EMMA (e.g. `shipped.shipped_model("emma")`) that is trained further, in place; its prior stays.
    While training, action units are validated at probability 0.5; thresholds are calibrated afterwards. The epoch
    with the best P_MTL is kept. Raises AffectError for a corpus that counts expressions in another order than EMMA.
    """
    refuse_shared_groups(corpus)
    require_one_vocabulary(EXPRESSIONS, corpus.labels.vocabulary)
    torch.manual_seed(training.seed)
    model = _to_start_from(start, config, prior, mae) or EMMA(config, prior)
    if mae is not None:
        model.init_from_mae(mae)
    train, validation = corpus.split("training"), corpus.split("validation")
    size = config.vit.image_size
    known = train.labels.to(device)
    weights = positive_weights(known.action_units, known.action_units_valid)
    if model.config.pos_weight == "published":
        weights = weights.new_tensor(ACTION_UNIT_POS_WEIGHT)

    def evaluate(model: EMMA) -> dict[str, float]:
        return _numbers(mtl_score(predict_corpus(model, validation, size, device), validation.labels))

    record = fit(
        model, FaceBatches(train, augmentation, size, device), partial(emma_loss, pos_weight=weights), training,
        directory, evaluate=evaluate, monitor="p_mtl", groups=_groups(model, training),
        validation=validation.fingerprint, device=device,
        progress=progress,
    )  # fmt: skip
    return model, record


def train_cotex(
    config: CoTEXConfig,
    training: TrainConfig,
    augmentation: Augmentation,
    corpus: Corpus,
    directory: Path,
    *,
    mae: MAE | ViTEncoder | None = None,
    start: CoTEX | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> tuple[CoTEX, TrainRecord]:
    """Co-training of masked views on synthetic faces, validated on real ones; the best macro F1 is kept.

    start: a trained CoTEX for the same expressions that is trained further, in place.
    """
    refuse_shared_groups(corpus)
    torch.manual_seed(training.seed)
    config = replace(config, vocabulary=corpus.labels.vocabulary)
    model = _to_start_from(start, config, mae) or CoTEX(config)
    if mae is not None:
        model.init_from_mae(mae)
    train, validation = corpus.split("training"), corpus.split("validation")
    size = config.vit.image_size

    def evaluate(model: CoTEX) -> dict[str, float]:
        return _numbers(lsd_score(predict_corpus(model.predict, validation, size, device), validation.labels))

    record = fit(
        model, FaceBatches(train, augmentation, size, device), cotraining_loss, training, directory, evaluate=evaluate,
        monitor="expression_f1", groups=_groups(model, training), validation=validation.fingerprint, device=device,
        progress=progress,
    )  # fmt: skip
    return model, record


def _to_start_from(start: torch.nn.Module | None, config, *others) -> torch.nn.Module | None:
    """`start` if there is one. Raises AffectError if it is another model than `config` says, or not the only start."""
    if start is None:
        return None
    if any(other is not None for other in others):
        raise AffectError("A training that goes on from a trained model (start) takes no other one (mae, prior).")
    if start.config != config:
        names = [field.name for field in fields(config)]
        other = [name for name in names if getattr(config, name) != getattr(start.config, name)]
        raise AffectError(f"The model to start from differs from the settings in {', '.join(other)}.")
    return start


def _groups(model: torch.nn.Module, training: TrainConfig) -> list[dict]:
    return parameter_groups(model, weight_decay=training.weight_decay, layer_decay=training.layer_decay or 1.0)


def _numbers(score: dict) -> dict[str, float]:
    """The plain numbers of a score; per-class arrays stay out of the log."""
    return {name: float(value) for name, value in score.items() if np.isscalar(value)}
