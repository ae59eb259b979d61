"""What a notebook opens first: the profile, the corpora, the device and the run's folder, in one object."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affect_core.corpora import BadRowsError, Corpus, open_corpus
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.emma_thresholds import calibrate_emma
from affect_core.errors import AffectError
from affect_core.mae import MAE
from affect_core.profiles import BUILT_IN, Profile, load_profile
from affect_core.progress import NotebookBar, Progress, TerminalBar
from affect_core.project_folders import project_root, run_folder, weights_dir
from affect_core.record import environment_record, fingerprint, hardware
from affect_core.report import NotebookReport
from affect_core.stage_corpora import check_corpora, joined
from affect_core.stages import pretrain_mae, train_cotex, train_emma, train_prior
from affect_core.storage import read_json, write_json
from affect_core.synthetic.embedded_corpus import write_embedded_corpus
from affect_core.training import TrainRecord

CORPORA = {
    "faces": "unlabelled faces, for MAE",
    "affectnet": "stills with 8 expressions, for the expression prior",
    "abaw4": "videos with expression, action units, valence and arousal, for EMMA (s-Aff-Wild2 layout)",
    "lsd": "stills of 6 expressions, for CoTEX (as published: training on synthetic ones, validation on real ones)",
}


def select_device() -> torch.device:
    """The first CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


_HOW_TO_GO_ON = (
    'Mend it, or, in a copy of the profile, section [images], set on_bad_rows = "list" to see all problems at once, or '
    '"skip" to go on without these rows (docs/USING.md).'
)


@dataclass(frozen=True)
class Workbook:
    """One run of the workbook. Made by `open_workbook`."""

    profile: Profile
    corpus_root: Path | None
    """Folder of the real corpora; None for the embedded one."""
    run_dir: Path
    data_dir: Path
    """Where the embedded corpus and the image stores are kept, shared by all runs."""
    seed: int
    device: torch.device
    progress: Progress
    weights: str = "fresh"
    """"fresh": every stage is trained here; "shipped": the stages are the models of `data/weights`."""

    def stage(self, name: str) -> Path:
        """The folder of a training stage ("mae", "prior", "emma", "cotex")."""
        return self.run_dir / name

    def report(self, notebook: str) -> NotebookReport:
        """Where the notebook of this name (e.g. "04_emma") leaves its figures and results for the report."""
        return NotebookReport(self.run_dir, notebook)

    def is_embedded(self, name: str) -> bool:
        """Whether corpus `name` is the rendered one, because no real one was given. Only the four of `CORPORA` are."""
        return name in CORPORA and (self.corpus_root is None or not (self.corpus_root / name).is_dir())

    def source(self, name: str) -> str:
        """In words, for titles: "synthetic" for the rendered corpus, else the folder's name; both for a mixture."""
        sources = ("synthetic" if self.is_embedded(one) else self.corpus_root.name for one in self._made_of(name))
        return " and ".join(dict.fromkeys(sources))

    def _made_of(self, name: str) -> tuple[str, ...]:
        return getattr(self.profile.corpora, name, (name,))

    def expect(self, good: bool, sentence: str) -> None:
        """A check of a lesson that holds where there is enough to learn from: `good`, said in `sentence`.

        With a built-in profile other than smoke, on rendered faces, it raises AssertionError otherwise. Anywhere else,
        on corpora and profiles that we do not know, a model may honestly be poor: then that is printed.
        """
        known = self.corpus_root is None and self.profile.name in set(BUILT_IN) - {"smoke"}
        if not good and known:
            raise AssertionError(sentence)
        if not good:
            sys.stdout.write(f"Not so in this run: {sentence}.\n")

    def corpus_folder(self, name: str) -> Path:
        """Root folder that holds corpus `name`; renders the embedded corpus first if that is the one."""
        if not self.is_embedded(name):
            return self.corpus_root
        config = self.profile.corpus
        folder = self.data_dir / "embedded" / f"{self.profile.name}-{fingerprint(config.record())[:8]}"
        return write_embedded_corpus(folder, config, workers=_workers(), progress=self.progress)

    def corpus(self, name: str) -> Corpus:
        """Open corpus `name` ("faces", "affectnet", "abaw4", "lsd"), decoded to the profile's store size.

        The profile's section [corpora] may name others in its place, or more (`stage_corpora`). Bad rows are treated as
        the profile's `on_bad_rows` says; rows left out with "skip" are listed in `run_dir/problems-<name>.json`.
        """
        if name not in CORPORA:
            raise AffectError(f"There is no corpus {name!r}; there are {', '.join(CORPORA)}.")
        return joined(name, self._made_of(name), self._open)

    def _open(self, name: str) -> Corpus:
        try:
            corpus = open_corpus(
                self.corpus_folder(name), name, size=self.profile.store_size, store_dir=self.data_dir / "stores",
                on_bad_rows=self.profile.on_bad_rows, progress=self.progress, workers=_workers(),
                soft_labels=name in self.profile.corpora.soft_labels,
            )  # fmt: skip
        except BadRowsError as error:
            if any(problem.rows for problem in error.problems):
                error.args = (f"{error}\n{_HOW_TO_GO_ON}",)
            raise
        listed = self.run_dir / f"problems-{name}.json"
        if corpus.problems:
            write_json(listed, [str(problem) for problem in corpus.problems])
        elif listed.exists():  # of before they were mended
            listed.unlink()
        return corpus

    # -- stages: each trains, or loads what an earlier notebook trained in the same run, or is the shipped one ---------
    def pretrain_mae(self) -> tuple[MAE, TrainRecord]:
        """The masked auto-encoder of this run, see `stages.pretrain_mae`."""
        if self.weights == "shipped":
            return self._shipped("mae")
        p = self.profile
        return pretrain_mae(p.mae, p.mae_training, p.mae_augmentation, self.corpus("faces"), self.stage("mae"),
                            device=self.device, progress=self.progress)  # fmt: skip

    def train_prior(self) -> tuple[DAN, TrainRecord]:
        """The expression prior of this run, see `stages.train_prior`."""
        if self.weights == "shipped":
            return self._shipped("prior")
        p = self.profile
        return train_prior(p.prior, p.prior_training, p.prior_augmentation, self.corpus("affectnet"), p.vit.image_size,
                           self.stage("prior"), device=self.device, progress=self.progress)  # fmt: skip

    def train_emma(self) -> tuple[EMMA, TrainRecord]:
        """EMMA of this run, on its MAE and its prior, see `stages.train_emma`."""
        if self.weights == "shipped":
            return self._shipped("emma")
        p = self.profile
        return train_emma(p.emma, p.emma_training, p.emma_augmentation, self.corpus("abaw4"), self.stage("emma"),
                          prior=self.train_prior()[0], mae=self.pretrain_mae()[0],
                          device=self.device, progress=self.progress)  # fmt: skip

    def calibrate_emma(self, model: EMMA) -> np.ndarray:
        """Action-unit thresholds (12,) of this run's EMMA, fitted on training frames, see `emma_thresholds`."""
        training = self.corpus("abaw4").split("training")
        return calibrate_emma(model, training, self.profile.vit.image_size, self.stage("emma"), device=self.device)

    def train_cotex(self) -> tuple[CoTEX, TrainRecord]:
        """CoTEX of this run, on its MAE, see `stages.train_cotex`."""
        if self.weights == "shipped":
            return self._shipped("cotex")
        p = self.profile
        return train_cotex(p.cotex, p.cotex_training, p.cotex_augmentation, self.corpus("lsd"), self.stage("cotex"),
                           mae=self.pretrain_mae()[0], device=self.device, progress=self.progress)  # fmt: skip

    def _shipped(self, name: str) -> tuple:
        from affect_core.shipped import shipped_model

        model = shipped_model(name)
        vit = getattr(model.config, "vit", self.profile.vit)
        if vit != self.profile.vit:
            raise AffectError(
                f"The shipped weights are for a ViT of width {vit.width} and depth {vit.depth} on {vit.image_size} px; "
                f'profile {self.profile.name} has another one. Use profile laptop, or weights = "fresh".'
            )
        record = read_json(weights_dir() / "training.json")[name]
        log = TrainRecord(weights_dir(), record["log"], record["best_epoch"], record["seconds"], reused=True)
        return model.to(self.device), log

    def summary(self) -> pd.DataFrame:
        """The settings and the sources of the data, as a table to show at the head of a notebook."""
        rows = [
            ("profile", self.profile.name),
            ("run folder", _relative(self.run_dir)),
            ("seed", str(self.seed)),
            ("weights", _WEIGHTS[self.weights]),
            ("machine", hardware(self.device)),
        ]
        for name, purpose in CORPORA.items():
            where = ("rendered (embedded corpus)" if self.is_embedded(one) else _relative(self.corpus_root / one)
                     for one in self._made_of(name))  # fmt: skip
            rows.append((f"corpus {name}", f"{' + '.join(where)}: {purpose}"))
        return pd.DataFrame(rows, columns=["setting", "value"]).set_index("setting")


_WEIGHTS = {"fresh": "trained in this run", "shipped": "shipped with the project (data/weights), not trained here"}


def open_workbook(
    profile: str = "laptop", corpus_root: str | Path = "", run_dir: str | Path = "", seed: int = 0,
    weights: str = "fresh",
) -> Workbook:
    """Open a run: relative paths are taken from the project's root, an empty `corpus_root` is the embedded corpus.

    A corpus that is missing under `corpus_root` is replaced by the rendered one, which `summary()` shows. weights:
    "fresh" trains the stages in this run, "shipped" takes the models of `data/weights` instead.
    Raises AffectError if `corpus_root` holds none of the corpora that the stages read, or for an unknown profile,
    `weights` or a `run_dir` that `run_folder` refuses.
    """
    if weights not in _WEIGHTS:
        raise AffectError(f'weights must be "fresh" or "shipped", not {weights!r}.')
    root = project_root()
    settings = load_profile(profile).with_seed(seed)
    corpora = root / Path(corpus_root).expanduser() if str(corpus_root) else None
    check_corpora(corpora, settings.corpora.names)
    folder = run_folder(run_dir, settings.name)
    data_dir = Path(os.environ.get("AFFECT_DATA_DIR", root / "data"))
    progress = TerminalBar
    if _in_notebook():
        progress = NotebookBar
        _set_notebook_display()
    book = Workbook(settings, corpora, folder, data_dir, seed, select_device(), progress, weights)
    write_json(folder / "environment.json", environment_record(book.device))
    return book


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def _set_notebook_display() -> None:
    """Whole sentences in tables, and figures as JPEG: sheets of faces as PNG would make notebooks of many megabytes.

    A shown figure carries what it says in words (`figures.alt_text`) as metadata of its output, "alt".
    """
    from IPython import get_ipython
    from matplotlib.figure import Figure
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    from affect_core.figures.alt_text import alt_text

    pd.set_option("display.max_colwidth", None)
    set_matplotlib_formats("jpeg", pil_kwargs={"quality": 75})
    shown_as = get_ipython().display_formatter.formatters["image/jpeg"]
    drawn = shown_as.lookup_by_type(Figure)
    shown_as.for_type(Figure, lambda figure: (drawn(figure), {"alt": alt_text(figure)}))


def _workers() -> int:
    return max(1, min(16, os.cpu_count() or 1))


def _relative(path: Path) -> str:
    """`path` from the project's root where it lies inside, so that executed notebooks name no machine's folders."""
    try:
        return str(Path(path).relative_to(project_root()))
    except ValueError:
        return Path(path).name
