"""Profiles: how large everything is, in one small readable TOML file each (smoke, laptop, gpu, shipped)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path

from affect_core.augment import Augmentation
from affect_core.checkpoints import concrete_config
from affect_core.cotex import CoTEXConfig
from affect_core.dan import DANConfig
from affect_core.emma import EMMAConfig
from affect_core.errors import AffectError
from affect_core.mae import MAEConfig
from affect_core.profiles.ranges import check_ranges
from affect_core.settings import check_types
from affect_core.stage_corpora import StageCorpora
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig
from affect_core.training import TrainConfig
from affect_core.vit import ViTConfig

BUILT_IN = ("smoke", "laptop", "gpu", "shipped")


@dataclass(frozen=True)
class Profile:
    """Every setting of a run but the data, the seed and the folder."""

    name: str
    store_size: int
    """Pixels at which images are kept in the image store; the models see `vit.image_size`."""
    corpus: EmbeddedCorpusConfig
    vit: ViTConfig
    mae: MAEConfig
    mae_training: TrainConfig
    mae_augmentation: Augmentation
    prior: DANConfig
    prior_training: TrainConfig
    prior_augmentation: Augmentation
    emma: EMMAConfig
    emma_training: TrainConfig
    emma_augmentation: Augmentation
    cotex: CoTEXConfig
    cotex_training: TrainConfig
    cotex_augmentation: Augmentation
    corpora: StageCorpora = StageCorpora()
    """What each stage learns from, if not from the one corpus of its own (section [corpora], which may be left out)."""
    on_bad_rows: str = "refuse"
    """What happens to bad rows and images of a corpus: "refuse", "list" or "skip", see `corpora.open_corpus`."""

    def with_seed(self, seed: int) -> Profile:
        """The same profile with `seed` for every stage's training (the embedded corpus keeps its own seed)."""
        stages = {field.name: replace(getattr(self, field.name), seed=seed) for field in fields(self)
                  if isinstance(getattr(self, field.name), TrainConfig)}  # fmt: skip
        return replace(self, **stages)


def load_profile(name: str) -> Profile:
    """A built-in profile by name, or any TOML file of the same sections by path.

    Raises AffectError for an unknown name, section or key, naming the ones that exist.
    """
    if name in BUILT_IN:
        text, source = (resources.files(__name__) / f"{name}.toml").read_text(), f"profile {name}"
    elif Path(name).suffix == ".toml" and Path(name).is_file():
        text, source = _text(Path(name)), name
    else:
        raise AffectError(f"There is no profile {name!r}; there are {', '.join(BUILT_IN)}, or a path to a .toml file.")
    try:
        sections = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise AffectError(f"{source} is not readable as TOML: {error}.") from error
    return _build(Path(name).stem, sections, source)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AffectError(f"{path} cannot be read as UTF-8 text: {error}.") from error


def _build(name: str, sections: dict, source: str) -> Profile:
    kinds = {field.name: field.type for field in fields(Profile)} | {"images": "images"}
    del kinds["name"], kinds["store_size"], kinds["on_bad_rows"]
    unknown, missing = set(sections) - set(kinds), set(kinds) - set(sections) - {"corpora"}
    if unknown or missing:
        raise AffectError(f"{source}: unknown sections {sorted(unknown)}, missing sections {sorted(missing)}.")
    if flat := [section for section, values in sections.items() if not isinstance(values, dict)]:
        raise AffectError(f"{source}: {flat[0]} is a value, but must be a section [{flat[0]}].")
    vit = _section(concrete_config(ViTConfig, sections["vit"]), sections, "vit", source)
    built = {"vit": vit, "corpora": _section(StageCorpora, {"corpora": {}} | sections, "corpora", source)}
    for section, kind in (
        ("corpus", EmbeddedCorpusConfig), ("prior", DANConfig),
        ("mae", MAEConfig), ("emma", EMMAConfig), ("cotex", CoTEXConfig),
    ):  # fmt: skip
        shared = {"vit": vit} if section in ("mae", "emma", "cotex") else {}
        built[section] = _section(concrete_config(kind, sections[section]), sections, section, source, **shared)
    for stage in ("mae", "prior", "emma", "cotex"):
        built[f"{stage}_training"] = _section(TrainConfig, sections, f"{stage}_training", source)
        built[f"{stage}_augmentation"] = _section(Augmentation, sections, f"{stage}_augmentation", source)
    images = sections["images"]
    unknown = set(images) - {"store_size", "on_bad_rows"}
    if unknown or "store_size" not in images:
        raise AffectError(f"{source}, section [images]: there are store_size and on_bad_rows, not {sorted(images)}.")
    check_types(Profile, images, f"{source}, section [images]")
    profile = Profile(name=name, **images, **built)
    check_ranges(profile, source)
    return profile


def _section(kind: type, sections: dict, name: str, source: str, **shared):
    known = {field.name for field in fields(kind)} - set(shared)
    unknown = set(sections[name]) - known
    if unknown:
        raise AffectError(f"{source}, section [{name}]: unknown {sorted(unknown)}; there are {sorted(known)}.")
    # TOML has no null: `false` says "none" where a number would stand
    values = {key: None if value is False and key in ("layer_decay", "clip_norm", "va_lr") else value
              for key, value in sections[name].items()}  # fmt: skip
    check_types(kind, values, f"{source}, section [{name}]")
    try:
        return kind(**values, **shared)
    except (AffectError, TypeError, ArithmeticError) as error:
        raise AffectError(f"{source}, section [{name}]: {error}.") from error
