"""Text is read line by line, whatever ends a line, and what cannot be read is said in words."""

import pytest

from affect_core.corpora.problems import BadRowsError, ProblemLog
from affect_core.corpora.text_lines import LINE_LIMIT, LongLineError, bounded_lines, read_lines


def lines(path, mode="refuse"):
    return list(read_lines(path, ProblemLog(mode)))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_line_end_and_a_mark(tmp_path, end, mark):
    (tmp_path / "a.txt").write_bytes(mark + end.join([b"one", b"", "zwölf".encode(), b"last"]))
    assert lines(tmp_path / "a.txt") == [(1, "one"), (2, ""), (3, "zwölf"), (4, "last")]


def test_a_line_just_below_the_limit_is_read_and_one_at_it_is_not(tmp_path):
    (tmp_path / "a.txt").write_text("x\n" + "y" * (LINE_LIMIT - 2) + "\nz")
    assert [len(text) for _, text in lines(tmp_path / "a.txt")] == [1, LINE_LIMIT - 2, 1]
    (tmp_path / "a.txt").write_text("x\n" + "y" * LINE_LIMIT + "\nz")
    with pytest.raises(BadRowsError, match="a.txt: cannot be read: line 2 has 1,048,576 characters or more"):
        lines(tmp_path / "a.txt", "skip")
    with pytest.raises(LongLineError):
        list(bounded_lines(tmp_path / "a.txt"))


@pytest.mark.parametrize("line", [1, 2, 700, 5000])
def test_the_line_that_is_no_utf8_is_named_wherever_it_lies(tmp_path, line):
    text = [b"0123456789,abc"] * 6000
    text[line - 1] = b"\xff"
    (tmp_path / "a.txt").write_bytes(b"\n".join(text))
    with pytest.raises(BadRowsError, match=rf"is not UTF-8 text \(line {line}\)"):
        lines(tmp_path / "a.txt")


def test_lines_before_the_problem_are_kept_when_problems_are_listed(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\n" * 4000 + b"\xff")
    log = ProblemLog("list")
    assert len(list(read_lines(tmp_path / "a.txt", log))) >= 2000
    assert [problem.reason for problem in log.problems] == ["is not UTF-8 text (line 4001)"]
