"""Model cards of the shipped weights: how they were made, their scores, and what they are not for.

Everything is read from the files that `shipped_training.export` writes beside them; the scores are those of
`shipped_scores`.
"""

from __future__ import annotations

from pathlib import Path

from affect_core.storage import read_json, write_text

TRAINING = "affect_core.shipped_training"


def write_cards(folder: Path) -> None:
    """A card for each model in `folder`, and `predict.md` for their combination, from the JSON files that lie there."""
    folder = Path(folder)
    facts = {name: read_json(folder / f"{name}.json") for name in ("scores", "training", "combination", "corpus")}
    for name, (title, task) in _TITLES.items():
        write_text(folder / f"{name}.md", _card(name, title, task, facts))
    write_text(folder / "predict.md", _predict_card(facts))


_TITLES = {
    "mae": ("MAE", "reconstructs hidden patches of a face; its encoder is where EMMA and CoTEX start. "
                   "`mae.safetensors`, encoder and decoder"),
    "prior": ("DAN, the expression prior", "eight expressions in AffectNet's order. It is the frozen network inside "
                                           "`emma.safetensors` (`shipped_model(\"prior\")`)"),
    "emma": ("EMMA", "eight expressions, twelve action units, valence and arousal. `emma.safetensors`, with its prior"),
    "cotex": ("CoTEX", "six expressions from two views. `cotex.safetensors`"),
}  # fmt: skip

_USE = """## Intended use, and what it is not for

Teaching, trying the workbook without training, a start for fine-tuning. The model was trained on rendered faces alone
and has never seen a photograph. It reads the *look* of a face; what a person feels cannot be told from that. Do not
use it to judge, select, monitor or diagnose people.
"""


def _card(name: str, title: str, task: str, facts: dict) -> str:
    training = facts["training"][name]
    phases = [_phase_row(phase) for phase in training["phases"]]
    commits = ", ".join(dict.fromkeys(str(phase["environment"]["commit"]) for phase in training["phases"]))
    return "\n".join([
        f"# {title}\n", f"What it does: {task}.\n",
        "| | |", "| --- | --- |",
        f"| data | {training['images']:,} rendered faces of the `shipped` profile, seed {facts['corpus']['seed']}; no "
        "photograph |",
        f"| command | `python -m {TRAINING} train`{', `finish`' if len(phases) > 1 else ''}, `export` |",
        f"| seed, kept epoch | {training['training']['seed']}, {training['best_epoch']} of {len(training['log'])} |",
        *phases,
        f"| made at | commit {commits} |",
        "| licence | Apache-2.0 |", "",
        "## Scores on rendered people it never saw (validation of the `laptop` corpus)\n",
        *_score_rows(facts["scores"][name]), "", _USE, _FAIRNESS_POINTER,
    ])  # fmt: skip


def _phase_row(phase: dict) -> str:
    settings, environment = phase["training"], phase["environment"]
    cut = f" of {settings['epochs']}, then interrupted" if phase["epochs"] < settings["epochs"] else ""
    return (
        f"| trained for | {phase['epochs']} epochs{cut}; batch {settings['batch_size']}, rate "
        f"{settings['base_learning_rate']:g} for 256 images; {phase['seconds'] / 60:.0f} minutes, "
        f"{phase['precision']}, {environment['hardware']}, torch {environment['packages']['torch']} |"
    )


_FAIRNESS_POINTER = "Scores by rendered age, gender and skin tone: `predict.md`, for the combined answer.\n"


def _score_rows(values: dict) -> list[str]:
    rows = ["| score | value [95 %] |", "| --- | --- |"]
    for name, value in values.items():
        if isinstance(value, dict):
            rows.append(f"| {name} | {value['estimate']:.3f} [{value['low']:.3f}, {value['high']:.3f}] |")
        else:
            rows.append(f"| {name} | {value if isinstance(value, int) else format(value, '.3f')} |")
    return rows


def _predict_card(facts: dict) -> str:
    values, combined = facts["scores"]["predict"], facts["combination"]
    groups = [f"| {row['group']} | {row['n']} | {row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |"
              for row in values["by group"]]  # fmt: skip
    plain = {name: value for name, value in values.items() if name not in ("by group", "n by group", "uncertainties")}
    uncertainties = [f"| {row['uncertainty']} | {row['AUC']:.3f} | {row['calibration error']:.3f} |"
                     for row in values["uncertainties"]]  # fmt: skip
    zooms = ", ".join(f"{zoom:g}" for zoom in combined["zooms"])
    return _PREDICT.format(
        **combined | {"zooms": zooms}, use=_USE, scores="\n".join(_score_rows(plain)), groups="\n".join(groups),
        uncertainties="\n".join(uncertainties),
    )


_PREDICT = """# predict: the shipped models together

`affect_core.predict(images)` averages EMMA's two expression answers (the CNN's share {cnn_share:g}), lets CoTEX speak
(share {cotex_share:g}) about its six expressions, divides by the temperature {temperature:g}, and takes action units,
valence and arousal from EMMA, over crops of zoom {zooms} and their mirror images.

## On rendered people that no shipped model saw (AffectNet's expressions without contempt)

{scores}

## Which uncertainty finds the errors

Area under the ROC curve for finding wrong answers, and calibration error after a logistic regression fitted on other
people. `predict` reports the first.

| uncertainty | AUC | calibration error |
| --- | --- | --- |
{uncertainties}

## By rendered group: accuracy

Age, gender and skin tone are dials of the generator, not statements about how people identify. Counted are all stills
of that corpus, of which no shipped model has met any.

| group | n | accuracy [95 %, Wilson] |
| --- | --- | --- |
{groups}

## On photographs

Three small sets (`docs/PHOTOGRAPHS.md`, with intervals, and which of them was looked at while choosing): smiles are
told from neutral faces (area under the ROC curve 0.95 to 0.99, with few people), but frowns were mostly missed: of 41
colour photographs none of four angry faces, of two people, was called angry and one of four sad ones sad. That shows a
failure and gives no rate.

{use}"""
