"""From the test list of a challenge to its submission: every listed image predicted, the file written and checked.

    submit("mtl", "MTL_Challenge_test_set_release.txt", "abaw4/cropped_aligned", "predictions.txt", emma)

The test sets of the 4th ABAW competition are given to participants alone and were not seen here: lists, images and
files are tested as published layouts say (`export.submission`), on images made by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from affect_core.augment import prepare
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.export.submission import check_submission, read_test_list, write_lsd_submission, write_mtl_submission
from affect_core.folder_prediction import decoded_batches
from affect_core.labels import LSD_EXPRESSIONS, AffectPrediction
from affect_core.prediction import STORED_SIZE
from affect_core.progress import Progress, no_progress
from affect_core.run_models import kept_thresholds, run_model
from affect_core.shipped import read_combination, shipped_model
from affect_core.smoothing import frame_numbers, require_width, smooth_prediction

CHALLENGES = {"mtl": "emma", "lsd": "cotex"}
"""The challenges, and the model that is meant for each."""


def challenge_model(
    challenge: str, run_dir: Path | None = None, device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> tuple[EMMA | CoTEX, tuple[float, ...] | None]:
    """The run's or the shipped model for a challenge, and EMMA's thresholds (12,), see `run_models.kept_thresholds`;
    those of the shipped EMMA were fitted to its answers for faces and their mirror images. None for CoTEX."""
    stage = CHALLENGES[challenge]
    model = shipped_model(stage).to(device) if run_dir is None else run_model(run_dir, stage, device)
    if stage == "cotex":
        return model, None
    return model, read_combination()["thresholds"] if run_dir is None else kept_thresholds(run_dir, model, say)


def submit(
    challenge: str, test_list: str | Path, images: str | Path, out: str | Path, model: EMMA | CoTEX, *,
    thresholds: Sequence[float] | None = None, smooth: float = 0.0, batch_size: int = 32,
    progress: Progress = no_progress,
) -> int:
    """Write the submission for a test list to `out` and check it; returns the number of its rows.

    challenge   "mtl": EMMA's valence, arousal, expression and action units; "lsd": CoTEX's expression
    test_list   file that names an image a line, see `export.read_test_list`
    images      folder in which the names of the list lie, for example abaw4/cropped_aligned
    thresholds  (12,) probabilities above which an action unit is active; 0.5 by default
    smooth      width in frames of an average over time within each video (`smoothing`), for "mtl"; 0 is none
    Images are looked at once and whole, as in validation. Raises AffectError, and writes nothing, if an image of the
    list is not there or cannot be read: the formats have no code for a missing answer.
    """
    names, root = read_test_list(test_list), Path(images)
    _require(challenge, model, names, smooth)
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise AffectError(f"{len(missing):,} of the {len(names):,} images of {test_list} are not in {root}, the first "
                          f"is {missing[0]}")  # fmt: skip
    prediction = _predicted(model, [str(root / name) for name in names], batch_size, progress)
    if smooth:
        videos = [str(PurePosixPath(name).parent) for name in names]
        prediction = smooth_prediction(prediction, videos, frame_numbers(names), width=smooth)
    if challenge == "mtl":
        write_mtl_submission(out, prediction, names, test_list=names, thresholds=thresholds)
    else:
        write_lsd_submission(out, prediction, names, test_list=names)
    check_submission(out, names)
    return len(names)


def _require(challenge: str, model: EMMA | CoTEX, names: Sequence[str], smooth: float) -> None:
    """Raise AffectError for what the end of a long prediction would show otherwise."""
    if challenge == "lsd" and model.config.vocabulary != LSD_EXPRESSIONS:
        raise AffectError(f"this challenge asks for the expressions {', '.join(LSD_EXPRESSIONS)}; CoTEX was trained on "
                          f"{', '.join(model.config.vocabulary)}")  # fmt: skip
    require_width(smooth)
    if smooth and challenge == "lsd":
        raise AffectError("the images of this challenge are no videos: nothing can be smoothed over time")
    if smooth:
        frame_numbers(names)


@torch.no_grad()
def _predicted(model: EMMA | CoTEX, paths: list[str], batch_size: int, progress: Progress) -> AffectPrediction:
    """The model's answers for image files, numpy. Raises AffectError, after all were tried, if some cannot be read."""
    forward = model.predict if isinstance(model, CoTEX) else model
    device, size = next(model.parameters()).device, model.config.vit.image_size
    parts: list[AffectPrediction] = []
    unreadable: list[str] = []
    with progress(len(paths), "predicting") as bar:
        for batch, decoded in decoded_batches(paths, max(STORED_SIZE, size), batch_size):
            good = [picture for picture in decoded if isinstance(picture, np.ndarray)]
            unreadable += [f"{path} {picture}" for path, picture in zip(batch, decoded, strict=True)
                           if not isinstance(picture, np.ndarray)]  # fmt: skip
            if not unreadable:
                parts.append(forward(prepare(torch.from_numpy(np.stack(good)).to(device), size)).numpy())
            bar.update(len(batch))
    if unreadable:
        raise AffectError(f"{len(unreadable):,} of the {len(paths):,} listed images cannot be read: "
                          f"{'; '.join(unreadable[:5])}{'; ...' if len(unreadable) > 5 else ''}")  # fmt: skip
    return AffectPrediction.concatenate(parts)
