"""Values from JSON and TOML are told apart by type as a config's fields ask."""

from dataclasses import asdict, dataclass
from typing import Literal

import pytest

from affect_core.errors import AffectError
from affect_core.settings import check_types, is_of
from affect_core.training import TrainConfig
from affect_core.vit import ViTConfig


@dataclass
class Config:
    count: int = 1
    rate: float | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    kind: Literal["a", "b"] = "a"
    on: bool = True


@pytest.mark.parametrize(("kind", "good", "bad"), [
    (int, [0, -3, 10**30], [1.0, True, "1", None, [1]]),
    (float, [0, 1.5], [float("nan"), float("inf"), False, "1.5", None]),
    (float | None, [None, 1], ["none", [], True]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["", "x"], [1, None, b"x"]),
    (Literal["a", "b"], ["a"], ["c", 1, None, ["a"]]),
    (tuple[float, float], [(1, 2.0), [1, 2]], [(1,), (1, 2, 3), "12", 1, (1, "2")]),
    (tuple[str, ...], [(), ["a", "b", "c"]], ["abc", [1], None]),
])  # fmt: skip
def test_types(kind, good, bad):
    assert all(is_of(kind, value) for value in good)
    assert not any(is_of(kind, value) for value in bad)


def test_the_field_and_the_value_are_named():
    check_types(Config, {"count": 2, "rate": None, "pair": [0, 1], "names": [], "kind": "b", "on": False}, "x.toml")
    with pytest.raises(AffectError, match="x.toml: count is '2.5', but must be int"):
        check_types(Config, {"count": 2.5}, "x.toml")
    with pytest.raises(AffectError, match=r"x.toml: pair is '\[1\]', but must be tuple\[float, float\]"):
        check_types(Config, {"pair": [1]}, "x.toml")


@pytest.mark.parametrize("config", [ViTConfig(), TrainConfig()])
def test_defaults_are_of_their_own_types(config):
    check_types(type(config), asdict(config), "defaults")
