"""The same MAE and EMMA with tokens in bf16 and in fp32 between the blocks."""

import numpy as np
import pandas as pd
import pytest
import torch

from affect_core import mae, vit
from affect_core.errors import AffectError
from affect_core.hardware import has_bf16, narrowed
from benchmarks import narrow_effects
from benchmarks.narrow_effects import SCORES, in_autocast_type, trained


def test_tokens_take_the_type_of_autocast_on_any_device():
    tokens = torch.randn(2, 3, 4)
    assert in_autocast_type(tokens) is tokens
    with torch.autocast("cpu", torch.bfloat16):
        assert in_autocast_type(tokens).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.float16):
        assert in_autocast_type(tokens) is tokens


@pytest.mark.slow
@pytest.mark.skipif(not has_bf16("cpu"), reason="no bf16 on this processor: both trainings would be in fp32")
def test_both_ways_are_the_same_training_but_for_rounding(smoke_book, monkeypatch):
    monkeypatch.setattr(narrow_effects, "IMAGES_SEEN", {"emma": 200})
    fp32, bf16 = (trained(0, narrow, smoke_book, share=1.0) for narrow in (False, True))
    assert set(fp32) == set(bf16) == set(SCORES) and np.isfinite([*fp32.values(), *bf16.values()]).all()
    assert fp32["mae_loss"] != bf16["mae_loss"] == pytest.approx(fp32["mae_loss"], rel=0.01)
    assert mae.narrowed is narrowed is vit.narrowed


def test_the_interval_is_students_over_seeds(monkeypatch, tmp_path):
    class Book:
        device = torch.device("cpu")

        class profile:
            name = "smoke"

    monkeypatch.setattr(narrow_effects, "has_bf16", lambda device: False)
    with pytest.raises(AffectError, match="cpu does not multiply bf16 matrices, so there is nothing to compare"):
        narrow_effects.narrow_effects(Book)
    monkeypatch.setattr(narrow_effects, "has_bf16", lambda device: True)
    monkeypatch.setattr(narrow_effects, "trained",
                        lambda seed, narrow, book: dict.fromkeys(SCORES, narrow * [0.1, 0.2, 0.3][seed]))  # fmt: skip
    table = narrow_effects.narrow_effects(Book, seeds=3)
    assert list(table["score"]) == list(SCORES) and table["difference"].to_numpy() == pytest.approx(0.2)
    assert table["low"].to_numpy() == pytest.approx(0.2 - 4.302653 * 0.1 / 3**0.5)
    monkeypatch.setattr(narrow_effects, "narrow_effects", lambda book, seeds: table)
    out = ["--out", str(tmp_path / "n.csv")]
    assert narrow_effects.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run"), *out]) == 0
    assert len(pd.read_csv(tmp_path / "n.csv")) == len(SCORES)
    assert narrow_effects.main(["--profile", "none", *out]) == 1
