"""May the scores of two runs be set side by side, and what differs between them? Read from what they recorded.

    python -m affect_core.comparability runs/laptop runs/laptop-seed1

The status is 0 if they are comparable and 1 if not, or if there is nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from affect_core.errors import AffectError
from affect_core.storage import read_json

RECORD = "record.json"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class RunComparison:
    """What `compare_runs` found.

    stages       the stages that both have and that were compared; ("",) if each has one
    comparable   whether the scores of all of them may be set side by side
    differences  one sentence each, the reasons against first; () for runs made alike
    """

    stages: tuple[str, ...]
    comparable: bool
    differences: tuple[str, ...]

    def __str__(self) -> str:
        head = "comparable" if self.comparable else "not comparable"
        return "\n".join([head, *(f"- {sentence}" for sentence in self.differences or ("nothing differs",))])


def compare_runs(a: str | Path, b: str | Path) -> RunComparison:
    """Compare two run folders stage by stage, or two stages (folders or their record.json).

    Comparable are scores of the same kind, computed by the same code on the same validation set. That settings, seed,
    training data, packages or machines differ is said, but does not forbid a comparison: it is what is compared, or
    what may explain a small difference. A validation set or scoring code that a record does not name (runs of earlier
    versions) counts as another one.

    Raises AffectError if a record is missing or damaged, or if the two folders have no stage in common.
    """
    ours, theirs = _records(Path(a)), _records(Path(b))
    stages = [stage for stage in ours if stage in theirs]
    pairs = [(stage, ours[stage], theirs[stage]) for stage in stages]
    if len(ours) == len(theirs) == 1:
        pairs = [("", *ours.values(), *theirs.values())]
    if not pairs:
        raise AffectError(f"{a} and {b} have no finished stage in common.")
    against, others = [], []
    for stage, first, second in pairs:
        mark = f"{stage}: " if stage else ""
        against += [mark + sentence for sentence in _obstacles(first, second)]
        others += [mark + sentence for sentence in _differences(first, second)]
    return RunComparison(tuple(stage for stage, *_ in pairs), not against, tuple(against + others))


def _records(path: Path) -> dict[str, dict]:
    """Stage -> record, of a run folder, of one stage's folder, or of a record.json."""
    file = path if path.is_file() else path / RECORD
    found = [file] if file.is_file() else sorted(path.glob(f"*/{RECORD}"))
    if not found:
        raise AffectError(f"{path} holds no {RECORD} of a finished stage.")
    return {file.parent.name: _record(file) for file in found}


def _record(file: Path) -> dict:
    record = read_json(file)
    kinds = {"training": dict, "data": str, "log": list, "environment": dict}
    parts = {"environment": {}} | record if isinstance(record, dict) else {}
    whole = all(isinstance(parts.get(name), kind) for name, kind in kinds.items())
    if not whole or not all(isinstance(entry, dict) for entry in record["log"]):
        raise AffectError(f"{file} is not the record of a training stage.")
    return record


def _obstacles(a: dict, b: dict) -> list[str]:
    """Why the scores of two stages must not be set side by side."""
    found = []
    ours, theirs = _scores(a), _scores(b)
    if ours != theirs:
        found.append(f"the scores are of another kind: {', '.join(ours) or 'none'} and {', '.join(theirs) or 'none'}")
    for key, what in (("validation", "validation sets"), ("scoring_code", "programs of the scores")):
        if None in (a.get(key), b.get(key)):
            found.append(f"{what} are {NOT_RECORDED}: scores cannot be set side by side")
        elif a[key] != b[key]:
            found.append(f"{what} differ: scores cannot be set side by side")
    return found


def _scores(record: dict) -> list[str]:
    names = {name for entry in record["log"] for name in entry if name.startswith("validation_")}
    return sorted(name.removeprefix("validation_") for name in names)


def _differences(a: dict, b: dict) -> list[str]:
    """What differs and may explain a difference of scores."""
    found = []
    seeds = a["training"].get("seed"), b["training"].get("seed")
    if seeds[0] != seeds[1]:
        found.append(f"seed differs: {seeds[0]} and {seeds[1]} (a repetition: comparable)")
    for part in ("training", "model"):
        for name, (one, other) in _leaves(a.get(part), b.get(part), part).items():
            if name != "training.seed":
                found.append(f"setting {name} differs: {one} and {other}")
    found += _data(a, b)
    if seeds[0] == seeds[1] and "model" in a and a.get("model") == b.get("model") and _differ(a, b, "initial_weights"):
        found.append("initial weights differ at the same seed: they start from another pretraining, or other packages")
    if _differ(a, b, "code"):
        found.append("the training code differs")
    if _differ(a, b, "objective"):
        found.append("what is minimised or monitored differs: loss, parameter groups, or evaluation")
    for key in ("precision", "processes"):
        if a.get(key) != b.get(key):
            found.append(f"{key} differs: {a.get(key)} and {b.get(key)}")
    return found + _environment(a.get("environment", {}), b.get("environment", {}))


def _data(a: dict, b: dict) -> list[str]:
    """Which part of the training data differs: the images and labels, their size, or the augmentation."""
    if a["data"] == b["data"]:
        return []
    parts = a.get("data_settings") or {}, b.get("data_settings") or {}
    found = []
    if not all("corpus" in part for part in parts):
        return [f"data differ (images, labels, size or augmentation; which is {NOT_RECORDED})"]
    if parts[0]["corpus"] != parts[1]["corpus"]:
        found.append(f"data differ: {_corpus(parts[0], a)} and {_corpus(parts[1], b)}")
    rest = [{name: value for name, value in part.items() if name not in ("corpus", "name")} for part in parts]
    settings = _leaves(*rest, "data").items()
    return found + [f"setting {name} differs: {one} and {other}" for name, (one, other) in settings]


def _corpus(part: dict, record: dict) -> str:
    return f"{part.get('name', 'corpus')} {part['corpus'][:8]} ({record.get('images', '?')} images)"


def _environment(a: dict, b: dict) -> list[str]:
    found = []
    packages = [f"{name} {one} and {other}" for name, (one, other) in
                _leaves(a.get("packages", {}), b.get("packages", {})).items()]  # fmt: skip
    if packages:
        found.append(f"packages differ: {', '.join(packages)}")
    for key in ("python", "hardware", "commit"):
        if a.get(key) != b.get(key):
            found.append(f"{key} differs: {a.get(key)} and {b.get(key)}")
    if any(str(one.get("commit")).endswith("-dirty") for one in (a, b)):
        found.append("a commit is marked -dirty: changes that were not committed took part")
    return found


def _differ(a: dict, b: dict, key: str) -> bool:
    return None not in (a.get(key), b.get(key)) and a[key] != b[key]


def _leaves(a, b, prefix: str = "") -> dict[str, tuple]:
    """Dotted name -> (value in a, value in b) of every value that differs between two nested dictionaries."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return {} if a == b else {prefix: (a, b)}
    found: dict[str, tuple] = {}
    for name in dict.fromkeys([*a, *b]):
        dotted = f"{prefix}.{name}" if prefix else name
        one, other = a.get(name, NOT_RECORDED), b.get(name, NOT_RECORDED)
        found |= _leaves(one, other, dotted)
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="affect_core.comparability", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("a", help="a run's folder, a stage's folder, or a record.json")
    parser.add_argument("b", help="another")
    options = parser.parse_args(arguments)
    try:
        comparison = compare_runs(options.a, options.b)
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{comparison}\n")
    return 0 if comparison.comparable else 1


if __name__ == "__main__":
    sys.exit(main())
