"""Profiles and the workbook object."""

from dataclasses import replace

import pytest
from published_layouts import write_all

from affect_core.corpora import BadRowsError
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS
from affect_core.profiles import BUILT_IN, load_profile
from affect_core.storage import read_json
from affect_core.training import TrainConfig
from affect_core.workbook import open_workbook


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_profiles_load(name):
    profile = load_profile(name)
    assert profile.name == name and profile.emma.vit == profile.vit == profile.mae.vit


def test_the_gpu_profile_is_the_papers():
    """METHOD: ViT-B/16 at 224 px, batch 100 x 4, 30 epochs, 5 of warm-up, layer decay 0.65, clip 0.05, and so on."""
    profile = load_profile("gpu")
    vit, emma, cotex, mae = profile.vit, profile.emma_training, profile.cotex_training, profile.mae_training
    assert (vit.image_size, vit.patch_size, vit.width, vit.depth, vit.heads) == (224, 16, 768, 12, 12)
    assert (emma.batch_size, emma.accumulation, emma.epochs, emma.warmup_epochs) == (100, 4, 30, 5)
    assert (emma.base_learning_rate, emma.layer_decay, emma.clip_norm, emma.weight_decay) == (5e-4, 0.65, 0.05, 0.05)
    assert profile.emma_augmentation.enlarge == 1.04 and profile.emma_augmentation.jitter_probability == 0.2
    assert (profile.emma.hidden, profile.emma.va_hidden, profile.emma.va_lr) == (512, 256, 1e-4)
    assert cotex.batch_size == 64 * int(1 / (1 - profile.cotex.mask_ratio)) and cotex.accumulation == 4
    assert (cotex.epochs, cotex.warmup_epochs, profile.cotex.js_weight, profile.cotex.views) == (6, 5, 100.0, 2)
    assert mae.batch_size * mae.accumulation == 4096 and (mae.epochs, mae.warmup_epochs) == (800, 40)
    assert (mae.base_learning_rate, mae.betas, mae.clip_norm) == (1.5e-4, (0.9, 0.95), None)
    assert (profile.mae.decoder_width, profile.mae.decoder_depth, profile.mae.decoder_heads) == (512, 8, 16)
    assert profile.mae.norm_pix_loss and profile.mae.mask_ratio == 0.75


def test_the_rest_of_the_gpu_profile_is_the_papers():
    """METHOD: regularisation and augmentation of EMMA, CoTEX and MAE; FORMATS: s-Aff-Wild2's faces are of 112 px."""
    profile = load_profile("gpu")
    emma, cotex, mae = profile.emma_training, profile.cotex_training, profile.mae_training
    assert (profile.vit.drop_path, profile.vit.readout, profile.store_size) == (0.1, "class_token", 112)
    assert (cotex.base_learning_rate, cotex.layer_decay, cotex.clip_norm) == (5e-4, 0.65, 0.05)
    assert cotex.weight_decay == mae.weight_decay == 0.05 and mae.layer_decay is None
    assert (profile.cotex.mask_ratio, cotex.batch_size) == (0.75, 256)
    seen = profile.cotex_augmentation
    assert (seen.enlarge, seen.crop_area, seen.flip, seen.jitter_probability) == (1.02, None, True, 0.0)
    seen = profile.emma_augmentation
    assert (seen.crop_area, seen.flip, seen.jitter) == (None, True, (0.4, 0.4, 0.4, 0.1))
    seen = profile.mae_augmentation
    assert (seen.crop_area, seen.flip, seen.jitter_probability) == ((0.2, 1.0), True, 0.0)
    assert seen.grayscale_probability == profile.emma_augmentation.grayscale_probability == 0.0
    assert profile.cotex_augmentation.grayscale_probability == 0.0
    assert TrainConfig().minimum_learning_rate == emma.minimum_learning_rate == 1e-6
    assert TrainConfig().betas == emma.betas == cotex.betas == (0.9, 0.999)  # AdamW's own


def test_the_seed_reaches_every_stage():
    profile = load_profile("smoke").with_seed(7)
    assert {profile.mae_training.seed, profile.prior_training.seed, profile.emma_training.seed,
            profile.cotex_training.seed} == {7}  # fmt: skip


def test_a_profile_of_ones_own_is_a_file(tmp_path):
    from importlib import resources

    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("depth = 2", "depth = 3"))
    mine = load_profile(str(tmp_path / "mine.toml"))
    assert mine.name == "mine" and mine.vit == replace(load_profile("smoke").vit, depth=3)


@pytest.mark.parametrize(("change", "message"), [
    (("[vit]", "[vitt]"), r"unknown sections \['vitt'\], missing sections \['vit'\]"),
    (("depth = 2", "deep = 2"), r"section \[vit\]: unknown \['deep'\]; there are"),
    (("depth = 2", "depth = "), "not readable as TOML"),
    (("patch_size = 8", "patch_size = 7"), "not a multiple of patch_size 7"),
    (("store_size = 32", "store = 32"), r"there are store_size and on_bad_rows, not \['on_bad_rows', 'store'\]"),
])  # fmt: skip
def test_mistakes_in_a_profile_are_named(tmp_path, change, message):
    from importlib import resources

    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace(*change))
    with pytest.raises(AffectError, match=message):
        load_profile(str(tmp_path / "mine.toml"))


def test_an_unknown_profile_or_corpus_is_named(tmp_path, smoke_book):
    with pytest.raises(AffectError, match="no profile 'big'; there are smoke, laptop, gpu, shipped"):
        load_profile("big")
    with pytest.raises(AffectError, match="holds none of the folders"):
        open_workbook("smoke", corpus_root=tmp_path, run_dir=tmp_path / "run")
    with pytest.raises(AffectError, match="no corpus 'celeba'"):
        smoke_book.corpus("celeba")


def test_a_root_that_was_meant_otherwise_is_refused_with_what_is_there(tmp_path):
    def refused(root):
        with pytest.raises(AffectError) as error:
            open_workbook("smoke", corpus_root=root, run_dir=tmp_path / "run")
        return str(error.value)

    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").endswith("is a file.") and refused(tmp_path / "no").endswith("is not there.")
    (tmp_path / "outer/inner/lsd").mkdir(parents=True)
    assert f"there are some in {tmp_path / 'outer/inner'}" in refused(tmp_path / "outer")
    (tmp_path / "caps/lsd").mkdir(parents=True)
    (tmp_path / "caps/AffectNet").mkdir()
    assert "AffectNet is written with capitals; call the folder affectnet" in refused(tmp_path / "caps")
    (tmp_path / "dead/lsd").mkdir(parents=True)
    (tmp_path / "dead/abaw4").symlink_to(tmp_path / "unmounted")
    assert "abaw4 is a link that leads nowhere" in refused(tmp_path / "dead")


def test_bad_rows_are_refused_with_the_way_on(tmp_path):
    write_all(tmp_path / "real")
    next((tmp_path / "real/faces").rglob("*.jpg")).write_bytes(b"")
    book = open_workbook("smoke", corpus_root=tmp_path / "real", run_dir=tmp_path / "run")
    book = replace(book, data_dir=tmp_path / "data")
    with pytest.raises(BadRowsError, match=r'(?s)is empty \(0 bytes\)\nMend it.*on_bad_rows = "list".*"skip"'):
        book.corpus("faces")


def test_what_a_lesson_expects_is_asserted_on_our_faces_and_said_elsewhere(tmp_path, capsys):
    ours = open_workbook("laptop", run_dir=tmp_path / "run")
    ours.expect(True, "EMMA is better than any constant")
    with pytest.raises(AssertionError, match="better than any constant"):
        ours.expect(False, "EMMA is better than any constant")
    for book in (replace(ours, corpus_root=tmp_path), replace(ours, profile=replace(ours.profile, name="mine")),
                 open_workbook("smoke", run_dir=tmp_path / "small")):  # fmt: skip
        assert capsys.readouterr().out == ""
        book.expect(False, "EMMA is better than any constant")
        assert capsys.readouterr().out == "Not so in this run: EMMA is better than any constant.\n"


def test_the_embedded_corpus_has_four_parts_in_their_vocabularies(smoke_book):
    abaw4 = smoke_book.corpus("abaw4")
    assert abaw4.labels.vocabulary == EXPRESSIONS and set(abaw4.splits) == {"training", "validation"}
    assert smoke_book.corpus("faces").splits == ("unlabelled",)
    assert smoke_book.is_embedded("abaw4") and smoke_book.source("abaw4") == "synthetic"
    assert "rendered (embedded corpus)" in smoke_book.summary().loc["corpus lsd", "value"]


def test_a_run_records_what_it_was_made_with(smoke_book):
    record = read_json(smoke_book.run_dir / "environment.json")
    assert record["packages"]["torch"] and record["hardware"]


def test_a_corpus_missing_under_the_root_is_replaced_by_the_rendered_one_and_said_so(data_dir, tmp_path):
    from published_layouts import write_lsd

    write_lsd(tmp_path / "real", per_class=2)
    book = open_workbook("smoke", corpus_root=tmp_path / "real", run_dir=tmp_path / "run")
    assert not book.is_embedded("lsd") and book.source("lsd") == "real"
    assert book.is_embedded("faces") and "rendered" in book.summary().loc["corpus faces", "value"]


def test_skipped_rows_are_listed_in_the_run(data_dir, tmp_path):
    from published_layouts import write_lsd

    write_lsd(tmp_path / "real", per_class=4)
    victim = sorted((tmp_path / "real" / "lsd").rglob("*.jpg"))[0]
    victim.write_bytes(victim.read_bytes()[:200])
    book = open_workbook("smoke", corpus_root=tmp_path / "real", run_dir=tmp_path / "run")
    with pytest.raises(AffectError, match=victim.name):
        book.corpus("lsd")
    lenient = replace(book, profile=replace(book.profile, on_bad_rows="skip"))
    corpus = lenient.corpus("lsd")
    assert victim.name in read_json(tmp_path / "run" / "problems-lsd.json")[0]
    assert len(corpus.problems) == 1


def test_shipped_weights_take_the_place_of_training(data_dir, tmp_path):
    book = open_workbook("laptop", run_dir=tmp_path / "run", weights="shipped")
    for stage, method in (("mae", book.pretrain_mae), ("emma", book.train_emma), ("cotex", book.train_cotex)):
        model, record = method()
        assert record.reused and record.best and not book.stage(stage).exists()
        assert model.config.vit == book.profile.vit
    assert "not trained here" in book.summary().loc["weights", "value"]


def test_shipped_weights_that_do_not_fit_the_profile_are_refused(data_dir, tmp_path):
    with pytest.raises(AffectError, match="width 128 and depth 6 on 64 px; profile smoke has another one"):
        open_workbook("smoke", run_dir=tmp_path / "run", weights="shipped").pretrain_mae()
    with pytest.raises(AffectError, match='must be "fresh" or "shipped", not \'old\''):
        open_workbook("smoke", run_dir=tmp_path / "run", weights="old")
