"""From rows of a corpus to tensors on the training device, and from a model to predictions for a whole corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from affect_core.augment import Augmentation, augment, prepare
from affect_core.corpora import Corpus
from affect_core.distributed import Share, share_of
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.record import fingerprint


@dataclass(frozen=True)
class Batch:
    """A process's share of a batch: its images (n, 3, size, size), normalised, and the labels of the whole batch (N).

    With one process n = N. A loss on the whole batch: `loss(batch.share.together(model(batch.images)), batch.labels)`.
    """

    images: torch.Tensor
    labels: AffectLabels
    share: Share


class FaceBatches:
    """Augmented training batches of a corpus; what `training.fit` takes as `data`."""

    def __init__(self, corpus: Corpus, augmentation: Augmentation, size: int, device: torch.device | str = "cpu"):
        self.corpus, self.augmentation, self.size, self.device = corpus, augmentation, size, torch.device(device)
        self.fingerprint = fingerprint(corpus.fingerprint, augmentation, size)
        self.settings = {"name": corpus.name, "corpus": corpus.fingerprint, "size": size,
                         "augmentation": asdict(augmentation)}  # fmt: skip

    def __len__(self) -> int:
        return len(self.corpus)

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Batch:
        """The rows (N,) as a `Batch`, of which this process prepares its share; `generator` lives on its device."""
        share = share_of(len(rows))
        pixels = torch.from_numpy(self.corpus.images[rows[share.rows]]).to(self.device)
        labels = self.corpus.labels[rows].to(self.device)
        return Batch(augment(pixels, self.augmentation, self.size, generator, share), labels, share)


@torch.no_grad()
def predict_corpus(
    predict: Callable[[torch.Tensor], AffectPrediction],
    corpus: Corpus,
    size: int,
    device: torch.device | str = "cpu",
    batch_size: int = 128,
) -> AffectPrediction:
    """`predict` applied to every image of `corpus` once, in order; numpy arrays with a row per image."""
    parts = []
    for start in range(0, len(corpus), batch_size):
        rows = np.arange(start, min(start + batch_size, len(corpus)))
        pixels = torch.from_numpy(corpus.images[rows]).to(device)
        parts.append(predict(prepare(pixels, size)).numpy())
    return AffectPrediction.concatenate(parts)
