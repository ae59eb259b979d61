"""The training loop: it learns, resumes bit for bit, reuses finished work, and says what is wrong."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from affect_core import training_loop
from affect_core.errors import AffectError
from affect_core.record import fingerprint
from affect_core.training import TrainConfig, fit

CONFIG = TrainConfig(epochs=4, batch_size=8, accumulation=2, base_learning_rate=0.3, warmup_epochs=1, layer_decay=None,
                     clip_norm=1.0, precision="fp32", checkpoint_seconds=0.0)  # fmt: skip


class Numbers:
    """Linear regression data; `batch` adds noise from the generator, as augmentation would."""

    fingerprint = "numbers"

    def __init__(self, n=80):
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.normal(size=(n, 4)).astype(np.float32))
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5, 0.0])

    def __len__(self):
        return len(self.x)

    def batch(self, rows, generator):
        x = self.x[rows]
        return x + 0.01 * torch.randn(x.shape, generator=generator), self.y[rows]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 1))


def squared_error(model, batch, generator):
    x, y = batch
    return {"total": (model(x)[:, 0] - y).square().mean()}


class Noiseless(Numbers):
    """The same numbers without noise."""

    def batch(self, rows, generator):
        return self.x[rows], self.y[rows]


def exact(model, batch, generator):
    """The squared error without dropout."""
    x, y = batch
    return {"total": (model.eval()(x)[:, 0] - y).square().mean()}


def evaluate(model):
    data = Numbers()
    return {"r2": 1 - float((model(data.x)[:, 0] - data.y).var() / data.y.var())}


def train(directory, config=CONFIG, loss=squared_error, data=None, **changes):
    model, options = network(), {"evaluate": evaluate, "monitor": "r2"} | changes
    record = fit(model, data or Numbers(), loss, config, directory, **options)
    return model, record


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Killed(BaseException):
    pass


class KilledAt(Numbers):
    """Ends the process's work at the `step`-th batch that is asked for, as a kill would; the data are the same."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def batch(self, rows, generator):
        self.left -= 1
        if self.left == 0:
            raise Killed
        return super().batch(rows, generator)


def test_the_loss_goes_down_and_the_log_has_a_line_an_epoch(tmp_path):
    _, record = train(tmp_path / "run", replace(CONFIG, epochs=20))
    assert record.log[-1]["train_total"] < 0.3 * record.log[0]["train_total"]
    assert record.log[-1]["validation_r2"] > 0.8
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines == record.log and [line["epoch"] for line in lines] == list(range(1, 21))


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_interrupted_and_continued_equals_uninterrupted_bit_for_bit(tmp_path, ema_decay):
    config = replace(CONFIG, ema_decay=ema_decay)
    whole, record = train(tmp_path / "whole", config)
    for step in (1, 2, 9, 11, 3):
        with pytest.raises(Killed):
            train(tmp_path / "killed", config, data=KilledAt(step))
    resumed, again = train(tmp_path / "killed", config)
    assert same_weights(whole, resumed)
    drop_time = [{k: v for k, v in entry.items() if k != "seconds"} for entry in record.log]
    assert [{k: v for k, v in entry.items() if k != "seconds"} for entry in again.log] == drop_time


def test_a_finished_stage_is_loaded_not_trained(tmp_path):
    first, record = train(tmp_path / "run")
    second, reused = train(tmp_path / "run", data=KilledAt(1))
    assert reused.reused and not record.reused
    assert same_weights(first, second) and reused.log == record.log


def test_changed_inputs_train_anew_and_keep_the_previous_result(tmp_path):
    train(tmp_path / "run")
    _, record = train(tmp_path / "run", replace(CONFIG, seed=1))
    assert not record.reused
    assert (tmp_path / "run.previous" / "record.json").exists()


@dataclass(frozen=True)
class Weighing:
    weight: float = 1.0


def weighed_error(model, batch, generator):
    return {"total": model.config.weight * squared_error(model, batch, generator)["total"]}


def train_weighing(directory, weight, data=None):
    """Train a network whose own config weighs the loss, as CoTEX's does."""
    model = network()
    model.config = Weighing(weight)
    return model, fit(model, data or Numbers(), weighed_error, CONFIG, directory)


def test_another_config_of_the_model_trains_anew_though_no_weight_tells(tmp_path):
    train_weighing(tmp_path / "run", 1.0)
    assert train_weighing(tmp_path / "run", 1.0)[1].reused
    other, record = train_weighing(tmp_path / "run", 3.0)
    assert not record.reused and (tmp_path / "run.previous" / "record.json").exists()
    assert same_weights(other, train_weighing(tmp_path / "alone", 3.0)[0])


def test_an_interrupted_training_does_not_go_on_with_another_config_of_the_model(tmp_path):
    with pytest.raises(Killed):
        train_weighing(tmp_path / "run", 1.0, KilledAt(9))
    assert (tmp_path / "run" / "resume.pt").exists()
    other = train_weighing(tmp_path / "run", 3.0)[0]
    assert same_weights(other, train_weighing(tmp_path / "alone", 3.0)[0])


def kept_of(scores, directory):
    """The record of a training whose epochs have these scores."""
    given = iter(scores)
    return fit(network(), Numbers(), squared_error, replace(CONFIG, epochs=len(scores)), directory, monitor="s",
               evaluate=lambda _: {"s": next(given)})  # fmt: skip


def test_a_score_that_is_undefined_does_not_cost_the_best_weights(tmp_path):
    nan = float("nan")
    assert kept_of([0.1, 0.8, nan, 0.3, 0.2], tmp_path / "a").best_epoch == 2
    assert kept_of([nan, 0.2, nan, 0.1], tmp_path / "b").best_epoch == 2
    assert kept_of([nan, nan, nan], tmp_path / "c").best_epoch == 3  # the last one, while no score was defined


def test_micro_batches_count_by_their_rows(tmp_path):
    small, large = network(), network()
    few = Noiseless(7)  # 3, 2 and 2 rows in a step
    logs = [fit(small, few, exact, replace(CONFIG, batch_size=3, accumulation=4), tmp_path / "a").log,
            fit(large, few, exact, replace(CONFIG, batch_size=7, accumulation=1), tmp_path / "b").log]  # fmt: skip
    assert logs[0][0]["train_total"] == pytest.approx(logs[1][0]["train_total"], rel=1e-5)
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_each_process_draws_its_own_drop_path_and_all_the_same_batch(tmp_path, monkeypatch):
    seen = {}
    for rank in (0, 3):
        def loss(model, batch, generator, rank=rank):
            seen.setdefault(rank, []).append((generator.initial_seed(), torch.initial_seed()))
            return squared_error(model, batch, generator)

        monkeypatch.setattr(training_loop, "world", lambda rank=rank: (rank, 1))
        fit(network(), Numbers(), loss, CONFIG, tmp_path / str(rank))
    shared, own = ([{pair[part] for pair in seen[rank]} for rank in (0, 3)] for part in (0, 1))
    assert shared[0] == shared[1] and not own[0] & own[1] and not shared[0] & (own[0] | own[1])


def test_the_best_epoch_is_kept_by_the_monitored_number(tmp_path):
    scores = iter([0.1, 0.9, 0.5, 0.2])
    model = network()
    record = fit(model, Numbers(), squared_error, CONFIG, tmp_path / "run", monitor="s",
                 evaluate=lambda _: {"s": next(scores)})  # fmt: skip
    assert record.best_epoch == 2 and record.best["validation_s"] == 0.9
    assert (tmp_path / "run" / "best.safetensors").read_bytes() != (tmp_path / "run" / "last.safetensors").read_bytes()


def test_accumulation_equals_one_large_batch(tmp_path):
    small, large = network(), network()
    fit(small, Noiseless(), exact, replace(CONFIG, batch_size=8, accumulation=2), tmp_path / "a")
    fit(large, Noiseless(), exact, replace(CONFIG, batch_size=16, accumulation=1), tmp_path / "b")
    for a, b in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_bf16_and_fp32_agree_roughly(tmp_path):
    _, fp32 = train(tmp_path / "fp32")
    _, bf16 = train(tmp_path / "bf16", replace(CONFIG, precision="bf16"))
    assert bf16.log[-1]["train_total"] == pytest.approx(fp32.log[-1]["train_total"], rel=0.05)


def test_a_loss_that_is_not_finite_stops_with_a_sentence_and_keeps_the_checkpoint(tmp_path):
    calls = 0

    def diverging(model, batch, generator):
        nonlocal calls
        calls += 1
        value = squared_error(model, batch, generator)["total"]
        return {"total": value * float("nan") if calls > 12 else value}

    with pytest.raises(AffectError, match="training loss of run is nan at step 7 of 20"):
        train(tmp_path / "run", loss=diverging)
    assert (tmp_path / "run" / "resume.pt").exists() and (tmp_path / "run" / "best.safetensors").exists()


def test_too_few_images_and_wrong_settings_are_refused(tmp_path):
    with pytest.raises(AffectError, match="too few"):
        fit(network(), Numbers(1), squared_error, CONFIG, tmp_path / "run")
    with pytest.raises(AffectError, match="precision"):
        TrainConfig(precision="fp8")
    with pytest.raises(AffectError, match="at least 1"):
        TrainConfig(epochs=0)
    with pytest.raises(AffectError, match="at least 1"):
        TrainConfig(validate_every=0)
    for wrong in ({"epochs": 2.5}, {"batch_size": True}, {"betas": (0.9,)}, {"ema_decay": "0.9"}):
        with pytest.raises(AffectError, match=f"{next(iter(wrong))} is .*, but must be"):
            TrainConfig(**wrong)
    for wrong in ({"seed": -1}, {"clip_norm": 0.0}, {"clip_norm": -1.0}, {"warmup_epochs": -1.0}):
        with pytest.raises(AffectError, match="at least 0, clip_norm above 0"):
            TrainConfig(**wrong)
    with pytest.raises(AffectError, match="betas are"):
        TrainConfig(betas=(0.9, 1.0))


def another_error(model, batch, generator, scale=2.0):
    x, y = batch
    return {"total": scale * (model(x)[:, 0] - y).abs().mean()}


def heads_alone(model):
    return [{"params": list(model[3].parameters())}]


@pytest.mark.parametrize("changes", [
    {"loss": another_error}, {"loss": partial(another_error, scale=3.0)}, {"monitor": None},
    {"evaluate": lambda model: {"r2": -evaluate(model)["r2"]}}, {"groups": heads_alone}, {"freeze": True},
], ids=["loss", "fixed in the loss", "monitor", "evaluate", "groups", "frozen"])  # fmt: skip
def test_another_objective_trains_anew(changes, tmp_path):
    def one(directory, *, freeze=False, groups=None, loss=another_error if "scale" in str(changes) else squared_error,
            **options):  # fmt: skip
        model = network()
        model[0].requires_grad_(not freeze)
        options = {"evaluate": evaluate, "monitor": "r2"} | options
        record = fit(model, Numbers(), loss, CONFIG, directory, groups=groups and groups(model), **options)
        return model, record

    one(tmp_path / "run")
    assert one(tmp_path / "run")[1].reused
    other, record = one(tmp_path / "run", **changes)
    assert not record.reused and one(tmp_path / "run", **changes)[1].reused
    assert same_weights(other, one(tmp_path / "alone", **changes)[0])


@pytest.mark.parametrize(("options", "sentence"), [
    ({"evaluate": None}, "monitor 'r2' is a number of `evaluate`, and there is none"),
    ({"monitor": "validation_r2"}, "with validation_r2, which is monitored; it gave r2"),
    ({"evaluate": lambda model: None}, "evaluate returns a dict of numbers.*NoneType"),
    ({"loss": lambda model, batch, generator: torch.zeros(())}, 'dict of scalars with a "total", not Tensor'),
    ({"loss": lambda model, batch, generator: {"mse": torch.zeros(())}}, "not ..mse.."),
    ({"loss": lambda model, batch, generator: {"total": model(batch[0])}}, "total is no tensor of a single number"),
], ids=["no evaluate", "monitor", "evaluate", "loss", "no total", "total"])  # fmt: skip
def test_what_a_loss_or_an_evaluation_must_return_is_said_in_a_sentence(options, sentence, tmp_path):
    with pytest.raises(AffectError, match=sentence):
        train(tmp_path / "run", **options)


def test_a_model_without_a_parameter_to_train_is_refused(tmp_path):
    with pytest.raises(AffectError, match="nothing to train"):
        fit(network().requires_grad_(False), Numbers(), squared_error, CONFIG, tmp_path / "run")


def gelu_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 1))


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="there is no C++ compiler")
def test_a_compiled_training_computes_the_same(tmp_path):
    config = replace(CONFIG, epochs=1)
    logs = []
    for compiled in (False, True):
        model = gelu_network()
        record = fit(model, Numbers(), squared_error, replace(config, compile=compiled), tmp_path / str(compiled))
        logs.append(record.log[-1]["train_total"])
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_compiling_without_a_compiler_is_said_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("affect_core.training_loop.shutil.which", lambda name: None)
    with pytest.raises(AffectError, match=r"compile = true needs a C\+\+ compiler .*: set it to false"):
        train(tmp_path / "run", replace(CONFIG, compile=True))


def test_a_setting_that_was_added_later_leaves_fingerprints_as_they_were():
    record = {name: value for name, value in asdict(CONFIG).items() if name != "compile"}
    assert fingerprint(CONFIG) == fingerprint(record) != fingerprint(replace(CONFIG, compile=True))


FOREIGN = {
    "no dict": lambda state: [1, 2],
    "a part missing": lambda state: {name: value for name, value in state.items() if name != "optimizer"},
    "of another network": lambda state: state | {"model": gelu_network().state_dict()},
    "a step that is no number": lambda state: state | {"step": "many"},
    "a step beyond the end": lambda state: state | {"step": 10**6},
    "a log of another length": lambda state: state | {"log": []},
    "an optimizer of nothing": lambda state: state | {"optimizer": {}},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_checkpoint_of_another_training_is_refused_in_a_sentence(name, tmp_path):
    path = tmp_path / "run" / "resume.pt"
    with pytest.raises(Killed):
        train(tmp_path / "run", data=KilledAt(31))
    torch.save(FOREIGN[name](torch.load(path, weights_only=True)), path)
    with pytest.raises(AffectError, match="resume.pt is not the checkpoint of this training.*delete it to start"):
        train(tmp_path / "run")
    path.unlink()
    assert same_weights(train(tmp_path / "run")[0], train(tmp_path / "whole")[0])


def test_a_checkpoint_that_would_run_code_is_not_opened(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "run", data=KilledAt(31))
    torch.save({"model": print}, tmp_path / "run" / "resume.pt")
    with pytest.raises(AffectError, match="holds more than tensors .*was not opened"):
        train(tmp_path / "run")
