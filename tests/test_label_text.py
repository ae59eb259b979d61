"""Label files become columns, and each line that does not is told with its number and its reason."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from affect_core.corpora import label_text
from affect_core.corpora.label_text import is_number, read_label_text
from affect_core.corpora.problems import BadRowsError, ProblemLog
from affect_core.corpora.text_lines import read_lines

FIELDS = ("image", "word", "x", "y")


def read(path, *, log=None, separator=","):
    log = log or ProblemLog("skip")
    text = read_label_text(path, log, fields=FIELDS, columns=("y", "x"), is_header=lambda fields: fields[0] == "image",
                           separator=separator)  # fmt: skip
    return text, [(problem.line, problem.reason, problem.rows) for problem in log.problems]


def written(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_columns_are_read_in_the_order_asked_for_with_their_lines(tmp_path):
    text, problems = read(written(tmp_path, "image,word,x,y\na.png,hi,1,2\n\n b.png ,ho, 3.5 ,-4e-1\n"))
    assert text.name == ["a.png", "b.png"]
    assert text.values.tolist() == [[2, 1], [-0.4, 3.5]] and text.values.dtype == np.float64
    assert text.line.tolist() == [2, 4] and text.line.dtype == np.int64
    assert problems == []
    with pytest.raises(FrozenInstanceError):
        text.line = None


def test_a_first_line_that_is_no_header_is_a_row(tmp_path):
    text, _ = read(written(tmp_path, "a.png,hi,1,2"))
    assert text.name == ["a.png"] and text.line.tolist() == [1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path, end):
    lines = ["image,word,x,y", "a,b,1,2", "", "c,d,3,4"]
    text, problems = read(written(tmp_path, b"\xef\xbb\xbf" + end.join(lines).encode()))
    assert text.line.tolist() == [2, 4] and text.values.tolist() == [[2, 1], [4, 3]] and problems == []


def test_fields_may_be_parted_by_spaces(tmp_path):
    text, problems = read(written(tmp_path, "a  b 1   2 \n"), separator=None)
    assert text.name == ["a"] and text.values.tolist() == [[2, 1]] and problems == []


def test_bad_rows_are_told_and_the_good_ones_kept(tmp_path):
    content = "a,b,1,2\n,b,1,2\nc,d,1\n e,f, one ,\ng,h,3,4\ni,j,1,2,3\n  ,k,5,6\nl,m,nan,inf\n"
    text, problems = read(written(tmp_path, content))
    assert text.name == ["a", "g", "l"] and text.line.tolist() == [1, 5, 8]
    assert np.isnan(text.values[2, 1]) and np.isinf(text.values[2, 0])
    assert problems == [
        (2, "names no image", 1),
        (3, "has 3 fields, not the 4 of image,word,x,y", 1),
        (4, "y is '', not a number; x is 'one', not a number", 1),
        (6, "has 5 fields, not the 4 of image,word,x,y", 1),
        (7, "names no image", 1),
    ]


@pytest.mark.parametrize("bad", [False, True])
def test_blocks_of_lines_join_into_the_whole(tmp_path, monkeypatch, bad):
    lines = [f"{number}.png,w,{number},{2 * number}" for number in range(7)]
    lines[3] = "broken" if bad else lines[3]
    path = written(tmp_path, "\n".join(["image,word,x,y", *lines]))
    whole, told = read(path)
    monkeypatch.setattr(label_text, "_BLOCK_LINES", 2)
    parts, told_again = read(path)
    assert parts.name == whole.name and parts.line.tolist() == whole.line.tolist() == [
        line for line in range(2, 9) if not (bad and line == 5)]  # fmt: skip
    np.testing.assert_array_equal(parts.values, whole.values)
    assert told == told_again == ([(5, "has 1 fields, not the 4 of image,word,x,y", 1)] if bad else [])


@pytest.mark.parametrize("content", ["", "\n \n", "image,word,x,y\n", "image,word,x,y\n\n"])
def test_a_file_without_rows_is_told(tmp_path, content):
    text, problems = read(written(tmp_path, content), log=ProblemLog("list"))
    assert text.name == [] and text.values.shape == (0, 2) and text.line.shape == (0,)
    assert problems == [(None, "holds no rows", 0)]


def test_only_bad_rows_are_no_missing_file(tmp_path):
    text, problems = read(written(tmp_path, "image,word,x,y\na,b\n"))
    assert text.values.shape == (0, 2) and problems == [(2, "has 2 fields, not the 4 of image,word,x,y", 1)]


def test_files_that_cannot_be_read_are_told_in_words(tmp_path):
    log = ProblemLog("list")
    assert list(read_lines(tmp_path / "gone.txt", log)) == []
    assert list(read_lines(tmp_path, log)) == []
    assert list(read_lines(written(tmp_path, "a\nb\nc\xff".encode("latin-1")), log)) == []
    assert [problem.reason for problem in log.problems] == [
        "not found; see data/README.md, section Corpora", "cannot be read (it is no regular file)",
        "is not UTF-8 text (line 3)"]  # fmt: skip
    assert {problem.rows for problem in log.problems} == {0}
    text, _ = read(tmp_path / "gone.txt", log=log)
    assert text.name == [] and text.values.shape == (0, 2)
    with pytest.raises(BadRowsError, match="gone.txt: not found"):
        read(tmp_path / "gone.txt", log=ProblemLog("skip"))


def test_what_counts_as_a_number():
    assert all(map(is_number, ["1", " -2.5e3 ", "nan", "inf", "-0"]))
    assert not any(map(is_number, ["", "one", "1,5", "0x10", "1 2"]))


def test_a_block_is_read_as_soon_as_it_holds_its_lines_or_more_than_its_characters(tmp_path, monkeypatch):
    path = written(tmp_path, "\n".join(f"{number}.png,w,{number},0" for number in range(7)))  # 11 characters a line
    read_block, blocks = label_text._read_block, []

    def noted(path, log, rows, *rest):
        blocks.append(len(rows))
        return read_block(path, log, rows, *rest)

    monkeypatch.setattr(label_text, "_read_block", noted)
    for lines, characters, expected in ((3, 1000, [3, 3, 1]), (1000, 22, [3, 3, 1]), (1000, 21, [2, 2, 2, 1]),
                                        (2, 22, [2, 2, 2, 1]), (1000, 76, [7, 0]), (1000, 77, [7])):  # fmt: skip
        monkeypatch.setattr(label_text, "_BLOCK_LINES", lines)
        monkeypatch.setattr(label_text, "_BLOCK_CHARACTERS", characters)
        blocks.clear()
        assert len(read(path)[0].name) == 7 and blocks == expected, (lines, characters)


def test_a_comma_parts_the_fields_unless_told(tmp_path):
    path, log = written(tmp_path, "a,3\n"), ProblemLog("list")
    text = read_label_text(path, log, fields=("image", "x"), columns=("x",), is_header=lambda fields: False)
    assert text.name == ["a"] and text.values.tolist() == [[3]] and not log.problems


def test_a_long_field_is_quoted_in_part(tmp_path):
    _, problems = read(written(tmp_path, f"a,w,{'x' * 50},2\n"))
    assert problems == [(1, f"x is '{'x' * 40}', not a number", 1)]


def test_whether_a_field_is_a_number_is_true_or_false():
    assert is_number("1") is True and is_number("one") is False
