"""Progress lines."""

from affect_core.progress import PROGRESS_FILE, NotebookBar, ProgressBar, TerminalBar


def test_steps_of_an_earlier_run_do_not_enter_the_speed():
    bar = ProgressBar(100, "x")
    bar.skip(90)
    bar.start -= 10.0  # ten seconds ago
    bar.update(5)
    assert "95/100, 0.5/s, 0:10 left" in bar.text() or "95/100, 0.5/s, 0:09 left" in bar.text()


def test_a_finished_bar_says_how_long_it_took():
    bar = ProgressBar(2, "pretraining")
    bar.start -= 61.0
    bar.update(2, loss=0.5)
    assert bar.text().startswith("pretraining ████") and "took 1:01" in bar.text() and "loss 0.5" in bar.text()


def test_terminal_bar_writes_lines_to_standard_error(capsys):
    with TerminalBar(3, "x") as bar:
        bar.update(3)
    assert "3/3" in capsys.readouterr().err


def test_notebook_bar_leaves_its_line_in_the_file_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "line"))
    with NotebookBar(3, "x") as bar:
        bar.update(3)
    assert "3/3" in (tmp_path / "line").read_text()
