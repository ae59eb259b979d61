"""What the options beside the paper change, as one table: of `results/options.csv`, `ema.csv` and `differences.csv`.

Options: smoothing over time, fitted thresholds, test-time averages over masks (`benchmarks.option_effects`, shipped
weights); averaged weights (`benchmarks.ema_effects`) and a third view (`experiments`), which are trained.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from affect_core.figures.style import quantity_name

HEADLINE = {"EMMA": "p_mtl", "CoTEX": "expression_f1"}
"""Model -> the score that its options are judged by."""


def option_rows(results: Path) -> pd.DataFrame:
    """option, setting, model, metric, difference (with the option minus without), low, high, over; one row a setting.

    over says what the 95 % interval is over. An option that has not been measured is not there.
    """
    stored = {name: pd.read_csv(Path(results) / f"{name}.csv") for name in ("options", "ema", "differences")}
    options = stored["options"][stored["options"]["score"] == stored["options"]["model"].map(HEADLINE)]
    rows = [
        (row.option, row.setting, row.model, row.score, row.difference, row.low, row.high, f"{row.groups} groups")
        for row in options.itertuples()
    ]
    averaged = stored["ema"][stored["ema"]["score"] == stored["ema"]["model"].map(HEADLINE)]
    rows += [
        ("averaged weights", f"decay {row.decay}", row.model, row.score, row.difference, row.low, row.high,
         f"{row.seeds} seeds")
        for row in averaged.itertuples()
    ]  # fmt: skip
    differences = stored["differences"]
    rows += [  # stored as two views minus three
        ("a third view", "three instead of two", "CoTEX", row.metric, -row.difference, -row.high, -row.low,
         f"images and {row.seeds} seeds")
        for row in differences[differences["alternative"] == "three views, JS"].itertuples()
    ]  # fmt: skip
    columns = ["option", "setting", "model", "metric", "difference", "low", "high", "over"]
    return pd.DataFrame(rows, columns=columns)


def options_markdown(rows: pd.DataFrame) -> str:
    """`option_rows` as a Markdown table."""
    lines = ["| option | setting | model, score | change [95 %] | interval over |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row.option} | {row.setting} | {row.model}, {quantity_name(row.metric)} | "
        f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}] | {row.over} |"
        for row in rows.itertuples()
    ]
    return "\n".join(lines) + "\n"
