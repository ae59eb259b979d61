"""Shards are read by `webdataset` and written by it; a stream shows every face once; packed shards train like files."""

import gc
import io
import json
import subprocess
import sys
import tarfile
import threading
import warnings
from dataclasses import fields, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from affect_core.augment import Augmentation, augment
from affect_core.batches import FaceBatches
from affect_core.corpora import BadRowsError, ShardStream, open_packed, pack_shards, write_shards
from affect_core.corpora import webdataset_packing as packing
from affect_core.corpora.problems import ProblemLog
from affect_core.corpora.shard_labels import known_of, labels_of
from affect_core.corpora.webdataset_shards import ShardFace, expand_shards, read_shard
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AffectLabels
from affect_core.mae import MAE, MAEConfig
from affect_core.training import TrainConfig, fit
from affect_core.vit import ViTConfig

SIZE = 16


def png(value: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), (value, 255 - value, 7)).save(data, "PNG")
    return data.getvalue()


def faces(n, known=None):
    for number in range(n):
        yield ShardFace(f"{number:04d}", ".png", png(number), {"group": f"g{number % 3}"} if known is None else known)


def replaced(n, **changes):
    """`n` faces of which those named ("f3") are changed."""
    return [replace(face, **changes.get(f"f{number}", {})) for number, face in enumerate(faces(n))]


def small_mae():
    vit = ViTConfig(image_size=SIZE, patch_size=4, width=16, depth=1, heads=2, drop_path=0.0)
    return MAE(MAEConfig(vit, 16, 1, 2))


@pytest.fixture
def shards(tmp_path):
    write_shards(faces(23), tmp_path / "tar", images_per_shard=5)
    return str(tmp_path / "tar" / "{000000..000004}.tar")


@pytest.fixture
def corpus(smoke_book):
    return smoke_book.corpus("abaw4")


def same_labels(ours, theirs):
    for item in fields(AffectLabels):
        np.testing.assert_array_equal(getattr(ours, item.name), getattr(theirs, item.name))


# -- the format --------------------------------------------------------------------------------------------------------
def test_webdataset_reads_what_we_write(corpus, tmp_path):
    paths = write_shards(corpus, tmp_path, images_per_shard=30, image_format="png")
    assert [path.name for path in paths] == ["000000.tar", "000001.tar", "000002.tar", "000003.tar"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files to the garbage collector
        read = list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False).decode("rgb8"))
        gc.collect()
    assert len(read) == len(corpus) == 100
    for row, sample in enumerate(read):
        np.testing.assert_array_equal(sample["png"], corpus.images[row])
        assert sample["json"]["image"] == corpus.table["image"][row]
        same_labels(labels_of(sample["json"]), corpus.labels[[row]])


def test_we_read_what_webdataset_writes(tmp_path):
    with webdataset.TarWriter(str(tmp_path / "theirs.tar")) as writer:
        for number in range(4):
            known = {"valence": 0.25, "caption": "a face"}
            writer.write({"__key__": f"folder/{number:03d}", "png": png(number), "json": known, "txt": "more"})
        writer.write({"__key__": "no-face", "txt": "neither image nor JSON"})
    log = ProblemLog("refuse")
    read = list(read_shard(str(tmp_path / "theirs.tar"), log))
    assert [face.key for face in read] == [f"folder/{number:03d}" for number in range(4)]
    assert [face.image for face in read] == [png(number) for number in range(4)]
    assert labels_of(read[0].known).valence_arousal.tolist() == [[0.25, 0]]
    data = (tmp_path / "theirs.tar").read_bytes()
    for face in read:
        assert data[face.offset : face.offset + len(face.image)] == face.image


def test_labels_survive_with_what_is_missing():
    rng, n = np.random.default_rng(0), 40
    labels = AffectLabels.missing(n)
    for name in ("valence_arousal", "expression", "action_units"):
        valid = getattr(labels, f"{name}_valid")
        valid[:] = rng.random(valid.shape) < 0.5
    labels.valence_arousal[:] = rng.uniform(-1, 1, (n, 2)) * labels.valence_arousal_valid
    labels.expression[:] = rng.integers(0, 8, n) * labels.expression_valid
    labels.action_units[:] = rng.integers(0, 2, (n, 12)) * labels.action_units_valid
    for row in range(n):
        same_labels(labels_of(json.loads(json.dumps(known_of(labels, row)))), labels[[row]])
    assert known_of(AffectLabels.missing(1), 0) == {}


@pytest.mark.parametrize("known, message", [
    ({"valence": 1.5}, "valence is 1.5, not a number from -1 to 1"), ({"arousal": "high"}, "arousal is 'high'"),
    ({"arousal": True}, "arousal is True"), ({"expression": "contempt"}, "expression is 'contempt', none of neutral"),
    ({"action_units": {"3": 1}}, "action unit '3' is 1"), ({"action_units": {"4": 2}}, "action unit '4' is 2"),
    ({"action_units": [1]}, r"action_units is \[1\]"),
])  # fmt: skip
def test_a_wrong_label_is_named(known, message):
    with pytest.raises(AffectError, match=message):
        labels_of(known)


def test_jpeg_keeps_faces_nearly(corpus, tmp_path):
    part = corpus.select(np.arange(3))
    (path,) = write_shards(part, tmp_path)
    (batch,) = ShardStream(path, size=corpus.images.size, batch_size=3, buffer=1).batches(0)
    assert np.abs(batch.pixels.astype(int) - part.images[:]).mean() < 4


def test_patterns_are_written_out(tmp_path):
    assert expand_shards("s-{08..11}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]
    assert expand_shards(["http://host/{a,b}{0..1}.tar"]) == [f"http://host/{n}.tar" for n in ("a0", "a1", "b0", "b1")]
    for name in ("b.tar", "a.tar"):
        (tmp_path / name).touch()
    assert expand_shards(tmp_path / "*.tar") == [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]
    for wrong, message in ((tmp_path / "*.zip", "finds no shard"), ([], "no shards"), (["a", "a"], "named twice")):
        with pytest.raises(AffectError, match=message):
            expand_shards(wrong)


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(AffectError, match="no faces"):
        write_shards([], tmp_path)
    with pytest.raises(AffectError, match="'a.b' is empty or has a dot"):
        write_shards([ShardFace("a.b", ".png", png(0), {})], tmp_path)
    with pytest.raises(AffectError, match="images_per_shard and image_format are 0"):
        write_shards(faces(1), tmp_path, images_per_shard=0)
    assert not list(tmp_path.glob("*.tar"))


def test_soft_labels_are_not_dropped_in_silence(corpus, tmp_path):
    soft = replace(corpus, labels=replace(corpus.labels, expression_shares=np.zeros((len(corpus), 8), np.float32)))
    with pytest.raises(AffectError, match="corpus abaw4 has soft labels, which shards do not keep; pack_corpus does"):
        write_shards(soft, tmp_path)
    assert not list(tmp_path.glob("*.tar"))


# -- what is wrong -----------------------------------------------------------------------------------------------------
BAD = {
    "f1": ({"image": b"not an image"}, "0001.png: image is not an image"),
    "f2": ({"known": {"valence": 3}}, "0002.json: label valence is 3"),
    "f3": ({"image": png(3)[:-20]}, "0003.png: image is truncated"),
}


@pytest.mark.parametrize("face", BAD)
def test_bad_faces_are_refused_by_name(face, tmp_path):
    changes, message = BAD[face]
    (path,) = write_shards(replaced(6, **{face: changes}), tmp_path / "tar")
    with pytest.raises(BadRowsError, match=f"000000.tar/{message}"):
        list(ShardStream(path, size=SIZE, batch_size=2).batches(0))
    with pytest.raises(BadRowsError, match=f"000000.tar/{message}"):
        pack_shards(path, tmp_path / "packed", size=SIZE)


@pytest.mark.parametrize("decoded", [True, False])
def test_bad_faces_are_skipped_and_counted_or_listed(tmp_path, decoded):
    (path,) = write_shards(replaced(6, **{face: changes for face, (changes, _) in BAD.items()}), tmp_path / "tar")
    stream = ShardStream(path, size=SIZE, batch_size=2, on_bad_rows="skip")
    assert sum(len(batch.names) for batch in stream.batches(0)) == 3 and len(stream.problems) == 3
    pack = partial(pack_shards, path, size=SIZE, decoded=decoded)
    packed = pack(tmp_path / "skip", on_bad_rows="skip")
    assert len(packed) == 3 and packed.images[:][:, 0, 0, 0].tolist() == [0, 4, 5]
    for corpus in (packed, open_packed(tmp_path / "skip")):
        assert [str(problem).split("/")[-1][:18] for problem in corpus.problems] == [
            text[:18] for _, text in BAD.values()
        ]
    with pytest.raises(BadRowsError, match="3 problems"):
        pack(tmp_path / "list", on_bad_rows="list")
    with pytest.raises(AffectError, match="no corpus.json"):
        open_packed(tmp_path / "list")


def test_a_key_with_two_images_or_none_or_bad_json_is_a_problem(tmp_path):
    members = [("a.png", png(1)), ("a.jpg", png(1)), ("b.json", b"{}"), ("c.png", png(2)), ("c.json", b"{"),
               ("d.png", png(3)), ("d.json", b"[1]"), ("e.png", png(4))]  # fmt: skip
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    log = ProblemLog("skip")
    assert [face.key for face in read_shard(str(tmp_path / "x.tar"), log)] == ["e"]
    said = "\n".join(map(str, log.problems))
    for text in ("'a' has 2 images", "'b' has 0 images", "c.json: is not a JSON obj", "d.json: is not a JSON obj"):
        assert text in said


def test_a_shard_cut_off_anywhere_is_noticed(shards, tmp_path):
    data = (tmp_path / "tar" / "000000.tar").read_bytes()
    end = data.rstrip(b"\0")
    for length in [0, *range(300, len(end) + 1, 256), len(end) + (-len(end)) % 512]:
        (tmp_path / "cut.tar").write_bytes(data[:length])
        log = ProblemLog("skip")
        read = list(read_shard(str(tmp_path / "cut.tar"), log))
        assert len(log.problems) == 1 and "cut.tar" in log.problems[0].file, length
        assert all(face.image == png(number) for number, face in enumerate(read))


def test_a_missing_or_compressed_shard_is_refused_even_if_bad_rows_are_skipped(tmp_path):
    stream = ShardStream(tmp_path / "none.tar", size=SIZE, batch_size=1, on_bad_rows="skip")
    with pytest.raises(BadRowsError, match="none.tar: cannot be read"):
        next(stream.batches(0))
    with tarfile.open(tmp_path / "zipped.tar", "w:gz"):
        pass
    with pytest.raises(BadRowsError, match="no uncompressed .tar file"):
        pack_shards(tmp_path / "zipped.tar", tmp_path / "packed", size=SIZE)


# -- the stream --------------------------------------------------------------------------------------------------------
def names(stream, epoch, position=0):
    return [name for batch in stream.batches(epoch, position) for name in batch.names]


def test_an_epoch_shows_every_face_once_in_an_order_of_its_own(shards):
    stream = ShardStream(shards, size=SIZE, batch_size=4, buffer=6, seed=1)
    first, second = names(stream, 0), names(stream, 1)
    assert len(first) == 23 and sorted(first) == sorted(second) == sorted(set(first))
    assert first != second and first != sorted(first)
    assert names(ShardStream(shards, size=SIZE, batch_size=4, buffer=6, seed=1), 0) == first
    assert names(ShardStream(shards, size=SIZE, batch_size=4, buffer=6, seed=2), 0) != first
    for batch in stream.batches(0):  # pixels, labels and names stay together
        assert [int(name.split("/")[-1]) for name in batch.names] == batch.pixels[:, 0, 0, 0].tolist()
        assert batch.pixels.shape[1:] == (SIZE, SIZE, 3) and len(batch.labels) == len(batch.names)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_an_epoch(shards, processes):
    streams = [ShardStream(shards, size=SIZE, batch_size=4, rank=rank, world=processes) for rank in range(processes)]
    for epoch in range(2):
        shares = [names(stream, epoch) for stream in streams]
        assert all(shares) and len({name for share in shares for name in share}) == sum(map(len, shares)) == 23


@pytest.mark.parametrize("bad", [{}, {"f1": BAD["f1"][0], "f9": BAD["f1"][0]}])
def test_a_stream_goes_on_after_any_batch_without_decoding_what_was_before(tmp_path, monkeypatch, bad):
    write_shards(replaced(17, **bad), tmp_path, images_per_shard=5)
    stream = ShardStream(tmp_path / "*.tar", size=SIZE, batch_size=3, buffer=4, on_bad_rows="skip")
    whole, decoded = list(stream.batches(3)), []
    decode = sys.modules[ShardStream.__module__].decode_image
    monkeypatch.setattr(sys.modules[ShardStream.__module__], "decode_image",
                        lambda *arguments: decoded.append(1) or decode(*arguments))  # fmt: skip
    for done, batch in enumerate(whole, start=1):
        decoded.clear()
        rest = list(stream.batches(3, batch.position))
        assert [one.names for one in rest] == [one.names for one in whole[done:]]
        assert len(decoded) == 17 - batch.position


def test_a_stream_trains_mae(shards):
    torch.manual_seed(0)
    model = small_mae()
    generator = torch.Generator().manual_seed(0)
    batch = next(ShardStream(shards, size=SIZE, batch_size=8).batches(0))
    images = augment(torch.from_numpy(batch.pixels), Augmentation(), SIZE, generator)
    model.training_loss(images, generator=generator).mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_wrong_settings_are_said(shards):
    for settings, message in (({"rank": 2, "world": 2}, "rank 2 of 2"), ({"world": 9}, "5 shards cannot be divided"),
                              ({"batch_size": 0}, "batch_size 0"), ({"on_bad_rows": "list"}, "can only")):  # fmt: skip
        with pytest.raises(AffectError, match=message):
            ShardStream(shards, **{"size": SIZE, "batch_size": 2, **settings})


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_shards_come_over_http(shards, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path / "tar")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{{000000..000004}}.tar"
        assert len(names(ShardStream(url, size=SIZE, batch_size=4), 0)) == 23
        assert len(pack_shards(url, tmp_path / "packed", size=SIZE)) == 23
        with pytest.raises(AffectError, match="download it, or use decoded=True"):
            pack_shards(url, tmp_path / "there", size=SIZE, decoded=False)
        with pytest.raises(BadRowsError, match=r"none.tar: cannot be read \(HTTP Error 404"):
            names(ShardStream(url.replace("{000000..000004}", "none"), size=SIZE, batch_size=4), 0)
        server.shutdown()


# -- packing -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("decoded", [True, False])
def test_packed_shards_are_the_corpus(corpus, tmp_path, decoded):
    """Written as PNG and packed, a corpus has the same rows, labels and pixels, in any selection."""
    write_shards(corpus, tmp_path / "tar", images_per_shard=30, image_format="png")
    folder = tmp_path / "packed"
    pack_shards(tmp_path / "tar" / "*.tar", folder, size=corpus.images.size, name="abaw4", decoded=decoded)
    assert bool(list(folder.glob("pixels-*"))) == decoded
    packed = open_packed(folder)
    assert packed.table.to_numpy().tolist() == corpus.table.to_numpy().tolist() and packed.splits == corpus.splits
    same_labels(packed.labels, corpus.labels)
    rows = np.random.default_rng(0).permutation(len(corpus))
    np.testing.assert_array_equal(packed.images[rows], corpus.images[rows])
    np.testing.assert_array_equal(packed.images[41], corpus.images[41])
    part, same = packed.split("validation"), corpus.split("validation")
    np.testing.assert_array_equal(part.images[[3, 1]], same.images[[3, 1]])


def test_decoded_or_not_a_packed_corpus_has_one_fingerprint(shards, tmp_path):
    one, two = (pack_shards(shards, tmp_path / str(d), size=SIZE, decoded=d) for d in (True, False))
    assert one.fingerprint == two.fingerprint == open_packed(tmp_path / "True").fingerprint
    smaller = pack_shards(shards, tmp_path / "smaller", size=8)
    assert smaller.fingerprint != one.fingerprint and smaller.images[0].shape == (8, 8, 3)
    assert one.splits == ("unlabelled",) and one.table["image"][7] == "000001/0007" and one.table["group"][7] == "g1"


def test_fit_trains_on_encoded_shards_as_on_decoded_ones(shards, tmp_path):
    weights = []
    for decoded in (True, False):
        torch.manual_seed(0)
        data = pack_shards(shards, tmp_path / f"{decoded}", size=SIZE, decoded=decoded)
        model = small_mae()
        fit(model, FaceBatches(data, Augmentation(), SIZE),
            lambda model, batch, generator: {"total": model.training_loss(batch.images, generator=generator).mean()},
            TrainConfig(epochs=2, batch_size=8, accumulation=1, precision="fp32"),
            tmp_path / f"run-{decoded}")  # fmt: skip
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


def test_processes_pack_together_and_the_last_puts_the_parts_together(shards, tmp_path):
    script = ("import sys; from affect_core.corpora import pack_shards; "
              "pack_shards(sys.argv[1], sys.argv[2], size=16, rank=int(sys.argv[3]), world=2)")  # fmt: skip
    together, alone = tmp_path / "together", pack_shards(shards, tmp_path / "alone", size=SIZE)
    assert pack_shards(shards, together, size=SIZE, rank=0, world=2) is None
    with pytest.raises(AffectError, match="interrupted"):
        open_packed(together)
    subprocess.run([sys.executable, "-c", script, shards, str(together), "1"], check=True, timeout=120)
    assert open_packed(together).fingerprint == alone.fingerprint


def test_an_interrupted_packing_converts_only_what_is_missing(shards, tmp_path, monkeypatch):
    read, calls = packing.read_shard, []

    def stop_in_the_third(shard, log):
        calls.append(shard)
        for number, face in enumerate(read(shard, log)):
            if len(calls) == 3 and number == 2:
                raise KeyboardInterrupt
            yield face

    monkeypatch.setattr(packing, "read_shard", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        pack_shards(shards, tmp_path / "packed", size=SIZE)
    packed = pack_shards(shards, tmp_path / "packed", size=SIZE)
    assert [call.rpartition("/")[2] for call in calls] == [f"00000{number}.tar" for number in (0, 1, 2, 2, 3, 4)]
    assert packed.images[:][:, 0, 0, 0].tolist() == list(range(23))
    assert not [path for path in (tmp_path / "packed").rglob("*.tmp")]


def test_a_folder_of_other_shards_is_left_alone_and_a_changed_shard_is_noticed(shards, tmp_path):
    packed = pack_shards(shards, tmp_path / "packed", size=SIZE, decoded=False)
    with pytest.raises(AffectError, match="another packed corpus"):
        pack_shards(shards, tmp_path / "packed", size=8, decoded=False)
    path = tmp_path / "tar" / "000001.tar"
    path.write_bytes(bytes(path.stat().st_size))
    assert len(packed.images[:5]) == 5
    with pytest.raises(AffectError, match="000001.tar has changed since it was packed"):
        packed.images[[6]]
    path.unlink()
    with pytest.raises(AffectError, match="lacks 000001.tar"):
        open_packed(tmp_path / "packed")


@pytest.mark.parametrize("known, message", [
    ({"split": "test"}, "split is 'test', none of training"), ({"group": 3}, "group is 3, not a text"),
    ({"image": "two\nlines"}, "not a text in one line"),
])  # fmt: skip
def test_names_of_a_face_are_checked(tmp_path, known, message):
    (path,) = write_shards(faces(1, known), tmp_path)
    with pytest.raises(BadRowsError, match=message):
        pack_shards(path, tmp_path / "packed", size=SIZE)


def test_shards_without_a_usable_face_are_refused(tmp_path):
    (path,) = write_shards(replaced(1, f0={"image": b"no"}), tmp_path)
    with pytest.raises(AffectError, match="no usable face; the first problem: .*0000.png"):
        pack_shards(path, tmp_path / "packed", size=SIZE, on_bad_rows="skip")


def test_action_units_are_written_by_number(corpus):
    row = int(np.flatnonzero(corpus.labels.action_units_valid.all(1))[0])
    assert list(known_of(corpus.labels, row)["action_units"]) == [str(unit) for unit in ACTION_UNITS]
