"""The examples of the documentation run as they stand there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("number", range(len(blocks("applications.md", "python"))))
def test_examples_of_applications_run(number, tmp_path, monkeypatch):
    (text,) = blocks("applications.md", "json")
    (tmp_path / "doorbell.json").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("applications.md", "python")[number], f"block {number}", "exec"), {})


@pytest.mark.parametrize("number", range(len(blocks("environments.md", "python"))))
def test_examples_of_environments_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("environments.md", "python")[number], f"block {number}", "exec"), {})


def test_the_example_of_shards_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = blocks("cluster.md", "python")[0].replace("20_000", "20")
    exec(compile(small, "block 0", "exec"), {})
    assert capsys.readouterr().out.startswith("20 ")


def test_images_of_the_pages_are_there():
    for page in DOCS.glob("*.md"):
        for image in re.findall(r"!\[[^]]*\]\(([^)]*)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / image).is_file(), image
