import sys

import pytest

from offload_gym import progress
from offload_gym.demonstrations import generate_demonstrations
from offload_gym.progress import Lines, progress_bar, with_progress


def test_lines_come_every_twenty_seconds(capsys):
    now = 100.0
    lines = Lines(1_500, "labels", "instance", initial=250, clock=lambda: now)

    def after(seconds: float) -> str:
        nonlocal now
        now = 100.0 + seconds
        lines.update(250)
        return capsys.readouterr().err

    assert after(19.9) == ""
    assert after(20.0) == "labels: instance 750 of 1,500, 20 s\n"
    assert after(39.0) == ""  # 19 s after the last line
    lines.set_postfix_str("validation gap 0.81%")
    assert after(55.4) == "labels: instance 1,250 of 1,500, 55 s, validation gap 0.81%\n"
    assert after(60.0) == ""
    lines.close()
    assert capsys.readouterr().err == ""


def test_short_work_says_nothing_without_a_terminal(capsys):
    assert list(with_progress("abc", "letters", "letter")) == ["a", "b", "c"]
    generate_demonstrations({"num_tasks": 2}, 5, seed=0)  # compiles
    generate_demonstrations({"num_tasks": 2}, 5, seed=0, progress=True)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_bars(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(with_progress("abc", "letters", "letter")) == ["a", "b", "c"]
    said = capsys.readouterr().err
    assert "letters: 100%" in said
    assert "3/3" in said
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="pip install tqdm, or pass progress=False"):
        progress_bar(3, "letters", "letter")


def test_lines_need_no_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    generate_demonstrations({"num_tasks": 2}, 5, seed=0, progress=True)
    assert capsys.readouterr().err.startswith("labels: instance 5 of 5, ")
