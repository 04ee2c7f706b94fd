"""The examples of the documentation run as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

from offload_gym.command_line import main

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


@pytest.mark.parametrize("number", range(len(blocks("datasets.md", "python"))))
def test_examples_of_data_sets_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    exec(compile(blocks("datasets.md", "python")[number], f"block {number}", "exec"), {})


@pytest.mark.parametrize("number", range(len(blocks("multi_agent.md", "python"))))
def test_examples_of_several_devices_run(number):
    exec(compile(blocks("multi_agent.md", "python")[number], f"block {number}", "exec"), {})


def test_commands_of_the_command_line_run_with_the_files_of_their_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = "command_line.md"
    names = {"csv": ("tasks.csv", "locations.csv"), "json": ("scenario.json", "instances.json")}
    for language, files in names.items():
        for name, text in zip(files, blocks(page, language), strict=True):
            Path(name).write_text(text, encoding="utf-8")
    text = (DOCS / page).read_text(encoding="utf-8")
    commands = re.findall(r"^    offload-gym (solve|decide)( [^|\n]*)$", text, flags=re.M)
    assert len(commands) > 3
    for name, rest in commands:
        assert main([name, *shlex.split(rest, comments=True)]) == 0, rest
    # The schedule that the page shows.
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["solve", "tasks.csv", "--locations", "locations.csv"]) == 0
    assert capsys.readouterr().out.strip() == blocks(page, "text")[0].strip()


def test_images_of_the_pages_are_there():
    for page in DOCS.glob("*.md"):
        for image in re.findall(r"!\[[^]]*\]\(([^)]*)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / image).is_file(), image
