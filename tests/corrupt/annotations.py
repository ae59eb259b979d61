"""Corrupt label files: s-Aff-Wild2's, line 3 of the training annotations, and those of the other readers."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from published_layouts import write_abaw4

from affect_core.corpora.abaw import FIELDS
from corrupt.case import Case, Counted, Harmless, Refused, opened

FILE = "training_set_annotations.txt"
FOLDER = "abaw4/cropped_aligned"
MEMORY = 40e6
"""Bytes that reading the label file of 1 GB may take. (Lines are read up to 1,048,576 characters.)"""


def lines_of(root: Path) -> list[str]:
    return (root / "abaw4" / FILE).read_text().splitlines()


def whole(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of the training annotations."""
    return lambda root: (root / "abaw4" / FILE).write_bytes(change((root / "abaw4" / FILE).read_bytes())) and None


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    return whole(lambda data: "\n".join([*change(data.decode().splitlines()), ""]).encode("utf-8"))


def line3(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lines(lambda text: [*text[:2], change(text[2]), *text[3:]])


def field(name: str, value: str) -> Callable[[Path], None]:
    def change(line: str) -> str:
        values = line.split(",")
        values[FIELDS.index(name)] = value
        return ",".join(values)

    return line3(change)


def bad_row(name: str, spoil: Callable[[Path], None], reason: str, line: int = 3) -> Case:
    return Case("annotation file", name, spoil, Refused(reason, FILE, line, 1), "abaw4")


def bad_file(name: str, spoil: Callable[[Path], None], reason: str) -> Case:
    return Case("annotation file", name, spoil, Refused(reason, FILE), "abaw4")


def harmless(name: str, spoil: Callable[[Path], None], look=None, how: str = "as if nothing were wrong") -> Case:
    return Case("annotation file", name, spoil, Harmless(how), "abaw4", look=look)


def other(name: str, corpus: str, file: str, change: Callable[[str], str | bytes], treatment, look=None) -> Case:
    """A case of another reader: `change` the text of its label file."""

    def spoil(root: Path) -> None:
        changed = change((root / file).read_text())
        (root / file).write_bytes(changed if isinstance(changed, bytes) else changed.encode())

    return Case("annotation file", name, spoil, treatment, corpus, look=look)


def named(image: str) -> Callable[[Path], None]:
    """Rename the image of line 3, and its row, to `image`."""

    def spoil(root: Path) -> None:
        old = lines_of(root)[2].split(",")[0]
        (root / FOLDER / image).parent.mkdir(parents=True, exist_ok=True)
        (root / FOLDER / old).rename(root / FOLDER / image)
        field("image", image)(root)

    return spoil


def shows(image: str, row: int = 1) -> Callable:
    return lambda corpus: corpus.table["image"].iloc[row] == f"{FOLDER}/{image}"


def moved_and_linked(what: str) -> Callable[[Path], None]:
    """Move a folder or image out of the corpus root and put a link in its place."""

    def spoil(root: Path) -> None:
        elsewhere = root.with_name(root.name + " elsewhere")
        elsewhere.mkdir()
        (root / what).rename(elsewhere / Path(what).name)
        (root / what).symlink_to(elsewhere / Path(what).name)

    return spoil


def one_gigabyte(path: Path, header: bytes = b"image,valence") -> None:
    path.write_bytes(header + b"\n")
    os.truncate(path, 2**30)


def in_little_memory(root: Path, corpus: str) -> None:
    tracemalloc.start()
    try:
        opened(root, corpus)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY


def replaced(make: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: ((root / "abaw4" / FILE).unlink(), make(root / "abaw4" / FILE)) and None


def array(kind: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: (root / f"affectnet/train_set/annotations/3_{kind}.npy").write_bytes(data) and None


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, **options)
    return buffer.getvalue()


def huge_array() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    return buffer.getvalue()


def bad_array(name: str, data: bytes, reason: str) -> Case:
    treatment = Refused(reason, "3_val.npy", None, 1)
    return Case("annotation file", f"AffectNet array: {name}", array("val", data), treatment, "affectnet 2021")


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code was run",)


ABAW4 = [
    harmless("byte-order mark", whole(lambda data: b"\xef\xbb\xbf" + data)),
    harmless("CRLF", whole(lambda data: data.replace(b"\n", b"\r\n"))),
    harmless("CR alone", whole(lambda data: data.replace(b"\n", b"\r"))),
    harmless("spaces around fields", whole(lambda data: data.replace(b",", b" ,\t"))),
    harmless("blank lines", whole(lambda data: data.replace(b"\n", b"\n\n  \n"))),
    harmless("no line end at the end", whole(lambda data: data.rstrip(b"\n"))),
    harmless("no header", lines(lambda text: text[1:])),
    harmless("header of 16 fields", lines(lambda text: [",".join(FIELDS), *text[1:]])),
    harmless("frames in another order", lines(lambda text: [text[0], *reversed(text[1:])]),
             shows("training_00/00004.jpg"), "in the order of the file"),
    bad_row("a field too many", line3(lambda line: line + ",0"), "has 17 fields, not the 16"),
    bad_row("a field too few", line3(lambda line: line.rpartition(",")[0]), "has 15 fields, not the 16"),
    bad_row("semicolons", line3(lambda line: line.replace(",", ";")), "has 1 fields"),
    bad_row("no name", line3(lambda line: "," + line.partition(",")[2]), "names no image"),
    bad_row("valence NaN", field("valence", "nan"), "valence is nan"),
    bad_row("arousal infinite", field("arousal", "-inf"), "arousal is -inf"),
    bad_row("valence 1.01", field("valence", "1.01"), "valence is 1.01, neither between -1 and 1 nor -5"),
    bad_row("arousal -2, AffectNet's code", field("arousal", "-2"), "arousal is -2, neither between -1 and 1 nor -5"),
    bad_row("valence empty", field("valence", ""), "valence is '', not a number"),
    bad_row("valence in words", field("valence", "high"), "valence is 'high', not a number"),
    bad_row("decimal comma", field("valence", "0,5"), "has 17 fields"),
    bad_row("number of 5,000 digits", field("expression", "9" * 5000), "expression is inf"),
    bad_row("expression 9", field("expression", "9"), "expression is 9, neither an integer from 0 to 7"),
    bad_row("expression 1.5", field("expression", "1.5"), "expression is 1.5"),
    bad_row("action unit 2", field("AU12", "2"), "AU12 is 2, neither 0, 1 nor -1"),
    bad_row("action unit -5, the other missing code", field("AU4", "-5"), "AU4 is -5"),
    bad_row("action unit NaN", field("AU1", "nan"), "AU1 is nan"),
    Case("annotation file", "row twice", lines(lambda text: [*text[:3], text[2], *text[3:]]),
         Refused("is named again (first in ", FILE, 4, 1), "abaw4", look=lambda corpus: len(corpus) == 10),
    bad_row("image with two different labels",
            lines(lambda text: [*text[:3], text[1].split(",")[0] + "," + text[2].partition(",")[2], *text[4:]]),
            "is named again", 4),
    bad_row("NUL in a name", line3(lambda line: "\0" + line), "not found"),
    bad_row("absolute path", field("image", "/etc/hostname"), "not found"),
    bad_row("path that leaves the corpus", field("image", "../../../secret.jpg"), "not found"),
    bad_row("path that goes up and down again", field("image", "training_00/../training_00/00002.jpg"), "not found"),
    bad_row("backslashes", field("image", "training_00\\00002.jpg"), "not found"),
    bad_row("name of another kind of file", named("training_00/00002.heic"), "the file is there, but only jpg"),
    harmless("letters of many scripts in a name", named("vidéo ①/顔_Ωmega.jpg"), shows("vidéo ①/顔_Ωmega.jpg"),
             "by its name"),
    harmless("spaces and quotes in a name", named("my 'video'/a \"b\".jpg"), shows("my 'video'/a \"b\".jpg"),
             "by its name"),
    harmless("<script> in a name", named("<script>/x.jpg"), shows("<script>/x.jpg"), "by its name"),
    bad_file("empty file", whole(lambda data: b""), "holds no rows"),
    bad_file("header alone", whole(lambda data: data.splitlines()[0]), "holds no rows"),
    bad_file("UTF-16", whole(lambda data: data.decode().encode("utf-16")), "is not UTF-8 text (line 1)"),
    bad_file("Latin-1 in line 3", whole(lambda data: data.replace(b"00002.jpg", b"\xe9.jpg")),
             "is not UTF-8 text (line 3)"),
    bad_file("file that is missing", replaced(lambda path: None), "not found; see data/README.md"),
    bad_file("folder in its place", replaced(lambda path: path.mkdir()), "it is no regular file"),
    bad_file("named pipe in its place", replaced(lambda path: os.mkfifo(path)), "it is no regular file"),
    bad_file("endless device in its place", replaced(lambda path: path.symlink_to("/dev/zero")),
             "it is no regular file"),
    Case("annotation file", "1 GB in one line, sparse; below 40 MB of memory",
         lambda root: (write_abaw4(root, videos=1, frames=1), one_gigabyte(root / "abaw4" / FILE)) and None,
         Refused("line 2 has 1,048,576 characters or more", FILE),
         read=lambda root, _: in_little_memory(root, "abaw4")),
    Case("annotation file", "1 GB in one line of a CSV file; below 40 MB of memory",
         lambda root: ((root / "fer2013").mkdir(), one_gigabyte(root / "fer2013/fer2013.csv", b"emotion,pixels,Usage"))
         and None,
         Refused("line 2 has 1,048,576 characters or more", "fer2013.csv"),
         read=lambda root, _: in_little_memory(root, "fer2013")),
    Case("annotation file", "link to an image outside the corpus", moved_and_linked(f"{FOLDER}/training_00/00002.jpg"),
         Counted("1 links lead out of the corpus root and were followed, for example abaw4/"), "abaw4"),
    Case("annotation file", "link to a folder outside the corpus", moved_and_linked(f"{FOLDER}/training_00"),
         Counted("1 links lead out of the corpus root and were followed, for example abaw4/"), "abaw4"),
    harmless("folder that links to itself", lambda root: (root / FOLDER / "again").symlink_to(root / FOLDER)),
]  # fmt: skip

OTHERS = [
    other("table: first row too short, codes keep their meaning", "table", "table/labels.csv",
          lambda text: text.replace("0.png,0,0.0,training", "0.png"),
          Refused("has 1 fields, not the 4 of the header", "labels.csv", 2, 1),
          lambda corpus: corpus.labels.vocabulary == ("neutral", "happiness", "pain")),
    other("table: expression of 5,000 digits", "table", "table/labels.csv",
          lambda text: text.replace("1.png,1", "1.png," + "9" * 5000),
          Refused("expression is '9999", "labels.csv", 3, 1)),
    other("table: split that nobody knows", "table", "table/labels.csv",
          lambda text: text.replace("0.1,training", "0.1,holdout"), Refused("split is 'holdout'", "labels.csv", 3, 1)),
    other("table: quote that nothing closes", "table", "table/labels.csv",
          lambda text: text.replace("1.png", '"1.png'), Refused("is not a CSV file (line 5", "labels.csv")),
    other("table: column named twice", "table", "table/labels.csv",
          lambda text: text.replace("valence", "image"), Refused("names the column image twice", "labels.csv")),
    other("table: no column of images", "table", "table/labels.csv",
          lambda text: text.replace("image", "picture"), Refused("has no column image", "labels.csv")),
    other("table: columns that are not read", "table", "table/labels.csv",
          lambda text: text.replace("valence", "mood"), Counted("has columns that are not read: mood")),
    other("table: vocabulary with an expression twice", "table", "table/vocabulary.txt",
          lambda text: text + "joy\nhappy\n", Refused("names an expression twice", "vocabulary.txt")),
    other("AffectNet: face box without area", "affectnet", "affectnet/training.csv",
          lambda text: text.replace(",8,8,96,96,", ",8,8,0,96,", 1), Refused("has no area", "training.csv", 2, 1)),
    other("AffectNet: face box outside the image", "affectnet", "affectnet/training.csv",
          lambda text: text.replace(",8,8,96,96,", ",500,8,96,96,", 1),
          Refused("does not contain the face box", "training.csv", 2, 1)),
    other("AffectNet: expression above 7", "affectnet", "affectnet/training.csv",
          lambda text: text, Counted("rows have an expression code above 7: no expression, masked")),
    bad_array("pickled code", saved(np.array(RunsCode(), object), allow_pickle=True),
            "it holds a value of type object"),
    bad_array("two numbers", saved(np.zeros(2)), "it holds 2 values"),
    bad_array("header of 80 TB", huge_array(), "it holds 10000000000000 values"),
    bad_array("cut off", saved(np.array(0.5))[:-3], "is not one number"),
    bad_array("zero bytes", b"", "is not one number"),
    Case("annotation file", "AffectNet array: NaN", array("val", saved(np.array(np.nan))),
         Refused("valence is nan", "3_{exp,val,aro}.npy", None, 1), "affectnet 2021"),
    other("RAF-DB: code 8", "rafdb", "rafdb/EmoLabel/list_patition_label.txt",
          lambda text: text.replace("train_00001.jpg 1", "train_00001.jpg 8"),
          Refused("label is 8", "label.txt", 1, 1)),
    other("RAF-DB: neither train nor test", "rafdb", "rafdb/EmoLabel/list_patition_label.txt",
          lambda text: text.replace("train_00001", "extra_00001"),
          Refused("starts neither with train_", "label.txt", 1, 1)),
    other("FER2013: a pixel too few", "ferplus", "ferplus/fer2013.csv",
          lambda text: text.replace("0,0 ", "0,", 1), Refused("pixels are not 2304 integers", "fer2013new.csv", 2, 1)),
    other("FER+: number of votes of 20 digits", "ferplus", "ferplus/fer2013new.csv",
          lambda text: text.replace(",10,", f",{10**20},", 1),
          Refused("not a number of votes", "fer2013new.csv", 2, 1)),
    other("FER+: a row too few", "ferplus", "ferplus/fer2013new.csv",
          lambda text: "\n".join(text.splitlines()[:-1]), Refused("they must be the same rows", "fer2013new.csv")),
    other("CelebA: person that is no number", "celeba", "celeba/identity_CelebA.txt",
          lambda text: text.replace("2880", "nan", 1), Refused("person is nan", "identity_CelebA.txt", 1, 0)),
]  # fmt: skip

CASES = ABAW4 + OTHERS
