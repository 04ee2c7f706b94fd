"""The examples of the documentation run as they stand there."""

import re
import shlex
from pathlib import Path

import gymnasium
import pytest

import offload_gym
from offload_gym.command_line import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("number", range(len(blocks("applications.md", "python"))))
def test_examples_of_applications_run(number, tmp_path, monkeypatch):
    (text,) = blocks("applications.md", "json")
    (tmp_path / "doorbell.json").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("applications.md", "python")[number], f"block {number}", "exec"), {})


def test_the_example_of_shards_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = blocks("cluster.md", "python")[0].replace("20_000", "20")
    exec(compile(small, "block 0", "exec"), {})
    assert capsys.readouterr().out.startswith("20 ")


def test_commands_of_the_command_line_run_with_the_files_of_their_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = "command_line.md"
    names = {"csv": ("tasks.csv", "locations.csv"), "json": ("scenario.json", "instances.json"), "xml": ("flow.dax",)}
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


PAGES = sorted(str(path.relative_to(DOCS)) for path in [*DOCS.glob("how_to/*.md"), *DOCS.glob("environments/*.md")])
PAGES += ["datasets.md", "index.md", "multi_agent.md", "observations.md", "problem.md", "tutorial.md"]


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page_run_in_their_order_and_print_what_stands_below_them(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    text = (DOCS / page).read_text(encoding="utf-8")
    cells = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, flags=re.S | re.M)
    assert cells
    namespace = {}
    for number, (code, output) in enumerate(cells):
        exec(compile(code, f"{page}, block {number}", "exec"), namespace)
        printed = capsys.readouterr().out
        if output:
            assert [line.rstrip() for line in printed.splitlines()] == output.splitlines(), code
    if page == "tutorial.md":  # what training reaches differs from machine to machine
        assert namespace["after"] < namespace["before"] / 3
        assert namespace["learned_s"] < 0.9 * namespace["greedy_s"]


def test_the_reference_has_every_public_name_once():
    directives = re.findall(r"^\.\. auto(?:function|class|data):: (\w+)$", (DOCS / "api.md").read_text(), flags=re.M)
    assert sorted(directives) == sorted(offload_gym.__all__)


def test_every_environment_has_a_page_with_its_specification():
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("environments/*.md"))
    classes = {spec.entry_point for name, spec in gymnasium.registry.items() if name.startswith("offload_gym/")}
    assert len(classes) > 1
    for entry_point in classes:
        assert f"<!-- specification of {entry_point} -->" in pages, entry_point


def test_links_to_files_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link
    ]
    assert len(links) > 50
    for page, link in links:
        assert (page.parent / link).is_file(), f"{page.name}: {link}"


def test_the_citation_has_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, flags=re.M).group(1) == offload_gym.__version__
