"""One training, judged by its last weights and by their average."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import ema_effects
from benchmarks.ema_effects import SCORES, both_ways


@pytest.mark.slow
@pytest.mark.parametrize("stage", SCORES)
def test_both_answers_come_from_one_training(stage, smoke_book, monkeypatch):
    scores = both_ways(stage, 0, smoke_book, share=1.0, images_seen=200)
    assert set(scores) == {f"{kind} {name}" for kind in ("last", "averaged") for name in SCORES[stage]}
    assert np.isfinite(list(scores.values())).all()
    if stage == "emma":  # nine steps leave CoTEX at one constant answer, averaged or not
        assert all(scores[f"last {name}"] != scores[f"averaged {name}"] for name in SCORES[stage][:2])
    monkeypatch.setattr(ema_effects, "DECAY", 1e-6)  # an average over nothing but the last step
    same = both_ways(stage, 1, smoke_book, share=1.0, images_seen=200)
    for name in SCORES[stage]:
        assert same[f"last {name}"] == pytest.approx(same[f"averaged {name}"], abs=0.02)


def test_the_interval_is_students_over_seeds(monkeypatch, tmp_path):
    gains = [0.1, 0.2, 0.3]

    def told(stage, seed, book):
        return {f"{kind} {name}": (kind == "averaged") * gains[seed] for kind in ("last", "averaged")
                for name in SCORES[stage]}  # fmt: skip

    class Book:
        class profile:
            name = "smoke"

    monkeypatch.setattr(ema_effects, "both_ways", told)
    table = ema_effects.ema_effects(Book, seeds=3)
    assert list(table["model"]) == ["EMMA"] * 4 + ["CoTEX"]
    assert table["difference"].to_numpy() == pytest.approx(0.2)
    assert table["high"].to_numpy() == pytest.approx(0.2 + 4.302653 * 0.1 / 3**0.5)
    monkeypatch.setattr(ema_effects, "ema_effects", lambda book: table)
    out = ["--out", str(tmp_path / "e.csv")]
    assert ema_effects.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run"), *out]) == 0
    assert len(pd.read_csv(tmp_path / "e.csv")) == 5
    assert ema_effects.main(["--profile", "none", *out]) == 1
