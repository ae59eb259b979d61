"""A loss or gradient that is not finite stops a training; its batch is kept, and played again it gives the same."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import CONFIG, Numbers, evaluate, network, squared_error

from affect_core import stages, training_loop
from affect_core.bad_batch import keep_bad_batch
from affect_core.errors import AffectError
from affect_core.mae import MAE
from affect_core.replay import load_bad_batch, replay
from affect_core.training import fit

BAD_CALL = 12
"""The micro-batch, counted from 1, at which the losses below go wrong: the second one of step 6."""


class Failing:
    """The squared error, until a micro-batch at which `damage` is done to it; `scale` is a term that stays finite."""

    def __init__(self, damage, calls=0):
        self.damage, self.calls = damage, calls

    def __call__(self, model, batch, generator):
        self.calls += 1
        error = squared_error(model, batch, generator)["total"]
        total = self.damage(error) if self.calls == BAD_CALL else error
        return {"total": total, "error": error + torch.rand((), generator=generator)}


def infinite_gradient(error):
    return error + (error - error.detach()).sqrt()


DAMAGES = {
    "training loss of run is nan": lambda error: error * math.nan,
    "training loss of run is inf": lambda error: error / 0,
    "gradient of run is (nan|inf)": infinite_gradient,
}


@pytest.fixture(params=DAMAGES)
def stopped(request, tmp_path):
    """(folder, damage) of a training that was stopped, with a resumable checkpoint after every step."""
    damage = DAMAGES[request.param]
    with pytest.raises(AffectError, match=f"The {request.param} at step 6 of 20; the checkpoint before it is kept"):
        fit(network(), Numbers(), Failing(damage), CONFIG, tmp_path / "run", evaluate=evaluate, monitor="r2")
    return tmp_path / "run", damage


def test_the_last_checkpoint_is_good_and_the_bad_step_never_reached_the_weights(stopped, record_property):
    folder, _ = stopped
    state = torch.load(folder / "resume.pt", weights_only=True)
    assert state["step"] == 5
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    bad = load_bad_batch(folder / "bad_batch.pt")
    assert all(torch.equal(bad.weights[name], tensor) for name, tensor in state["model"].items())
    record_property("reliability", {
        "part": "training", "case": f"{bad.quantity} is {bad.value}",
        "treatment": "stops in a sentence before the step; checkpoint and weights are good, the batch is kept",
    })  # fmt: skip


def test_the_batch_is_the_one_that_was_bad(stopped):
    folder, _ = stopped
    bad = load_bad_batch(folder / "bad_batch.pt")
    order = np.random.default_rng([CONFIG.seed, 1]).permutation(80)  # step 6 is the first of epoch 2
    assert (bad.step, bad.seed, bad.rows) == (5, CONFIG.seed, order[8:16].tolist())
    assert torch.equal(bad.batch[1], Numbers().y[bad.rows])
    assert math.isfinite(bad.losses["error"]) and not (bad.quantity == "training loss" and math.isfinite(bad.value))
    plain = torch.load(folder / "bad_batch.pt", weights_only=True)
    assert plain["rows"] == bad.rows and plain["model_name"] == "Sequential"


def test_played_again_it_is_the_same(stopped):
    folder, damage = stopped
    bad = load_bad_batch(folder / "bad_batch.pt")
    model, state = network(seed=5), torch.get_rng_state()
    again = replay(folder / "bad_batch.pt", model=model, loss=Failing(damage, BAD_CALL - 1))
    np.testing.assert_equal(again.losses, bad.losses)
    assert "3.weight" in again.parameters and again.first_layer is None
    assert torch.equal(torch.get_rng_state(), state), "a replay leaves the random numbers alone"


def test_started_again_it_goes_on_from_the_checkpoint_and_ends_as_if_nothing_had_been(stopped, tmp_path):
    folder, _ = stopped
    fine = Failing(None, calls=1000)
    resumed, untouched = network(), network()
    fit(resumed, Numbers(), fine, CONFIG, folder, evaluate=evaluate, monitor="r2")
    fit(untouched, Numbers(), fine, CONFIG, tmp_path / "untouched", evaluate=evaluate, monitor="r2")
    for a, b in zip(resumed.state_dict().values(), untouched.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_without_a_checkpoint_the_sentence_says_so(tmp_path):
    def always(model, batch, generator):
        return {"total": squared_error(model, batch, generator)["total"] * math.nan}

    with pytest.raises(AffectError, match="at step 1 of 20; there was no checkpoint before it"):
        fit(network(), Numbers(), always, CONFIG, tmp_path / "run")


def test_a_batch_that_cannot_be_kept_does_not_hide_the_reason(stopped, tmp_path, monkeypatch):
    def full(*_):
        raise AffectError("the disk is full.")

    monkeypatch.setattr("affect_core.bad_batch.keep_bad_batch", full)
    with pytest.raises(AffectError, match="loss of run is nan at step 6 .* could not be kept: the disk is full"):
        fit(network(), Numbers(), Failing(lambda e: e * math.nan), CONFIG, tmp_path / "other" / "run")


def test_the_first_layer_that_is_not_finite_is_named(stopped):
    folder, damage = stopped
    bad = load_bad_batch(folder / "bad_batch.pt")
    bad.weights["3.bias"][0] = math.nan
    path = keep_bad_batch(folder / "changed", bad)
    assert replay(path, model=network(), loss=Failing(damage, 1000)).first_layer == "3"


def test_what_is_missing_or_another_file_is_said(stopped, tmp_path):
    folder, _ = stopped
    with pytest.raises(AffectError, match="none.pt not found"):
        load_bad_batch(tmp_path / "none.pt")
    for name in ("resume.pt", "log.jsonl"):
        with pytest.raises(AffectError, match=f"{name} is not a batch that a training has kept"):
            load_bad_batch(folder / name)
    with pytest.raises(AffectError, match=r"made with the loss Failing: replay\(path, model=..., loss=...\)"):
        replay(folder / "bad_batch.pt")


# -- the stages --------------------------------------------------------------------------------------------------------
def train(stage, book, directory, **changes):
    profile = book.profile
    options = getattr(profile, f"{stage}_augmentation"), book.corpus(CORPORA[stage])
    config, schedule = getattr(profile, stage), replace(getattr(profile, f"{stage}_training"), **changes)
    if stage == "mae":
        stages.pretrain_mae(config, schedule, *options, directory)
    elif stage == "prior":
        stages.train_prior(config, schedule, *options, 32, directory)
    elif stage == "emma":
        torch.manual_seed(0)
        prior = stages.DAN(profile.prior)
        stages.train_emma(config, schedule, *options, directory, prior=prior, mae=MAE(profile.mae))
    else:
        stages.train_cotex(config, schedule, *options, directory, mae=None)


CORPORA = {"mae": "faces", "prior": "affectnet", "emma": "abaw4", "cotex": "lsd"}


@pytest.mark.parametrize("stage", CORPORA)
def test_a_stages_batch_played_from_its_file_alone_gives_its_losses_bit_for_bit(
    stage, smoke_book, tmp_path, monkeypatch
):
    """The batch is a good one, so that equality means something: stopping at the second step is ordered."""
    calls = iter([None, ("training loss", math.nan)])
    monkeypatch.setattr(training_loop, "what_is_not_finite", lambda *_: next(calls))
    with pytest.raises(AffectError, match="at step 2 of"):
        train(stage, smoke_book, tmp_path / stage, epochs=1)
    bad = load_bad_batch(tmp_path / stage / "bad_batch.pt")
    state = torch.get_rng_state()
    again = replay(tmp_path / stage / "bad_batch.pt")
    assert torch.equal(torch.get_rng_state(), state)
    assert again.losses == bad.losses and all(map(math.isfinite, again.losses.values()))
    assert again.first_layer is None and again.parameters == ()
    assert len(bad.batch.images) == len(bad.batch.labels) == len(bad.rows) == 16


@pytest.mark.parametrize("stage", CORPORA)
def test_a_stage_that_diverges_is_stopped_and_the_layer_named(stage, smoke_book, tmp_path):
    with pytest.raises(AffectError, match=f"of {stage} is (nan|inf) at step . of"):
        train(stage, smoke_book, tmp_path / stage, epochs=2, base_learning_rate=1e38, warmup_epochs=0, layer_decay=None)
    again = replay(tmp_path / stage / "bad_batch.pt")
    assert not math.isfinite(again.losses["total"]) and again.first_layer
