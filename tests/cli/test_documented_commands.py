"""Every `tts-study` command in README and docs can be pasted: its options exist, and none that it needs is missing."""

import gzip
import json
import re
import shlex
from pathlib import Path

import pytest

from tts_study import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of each command in a block of shell; variables of a loop stand for 1."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"(?:^|\s)#.*", "", line)
                for command in re.findall(r"(?:^|[\s'=\"])(?:\.venv/bin/)?tts-study ((?:[^;&']|'[^']*')*)", line):
                    found.append((page.name, re.sub(r"\$\(\(.*?\)\)|\$\w+", "1", command)))
    return found


def test_there_are_commands_to_check():
    assert {page for page, _ in commands()} >= {"README.md", "gpu.md", "remote.md", "cluster.md", "extend.md"}


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_has_all_that_it_needs(page, command):
    parser = cli._Parser(prog="tts-study")
    cli.add_commands(parser.add_subparsers(required=True))
    assert parser.parse_args(shlex.split(command)).command  # it raises what the user would read


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    """The folders that README's commands name, each with a few problems of a recorded run."""
    for folder, recorded in (("my-run", "1b-best_of_n-n8-seed0"), ("other-run", "1b-greedy-n1-seed0")):
        lines = gzip.decompress((ROOT / "data/runs/micro" / f"{recorded}.jsonl.gz").read_bytes()).splitlines(True)
        run = tmp_path / "out" / folder / "run.jsonl"
        run.parent.mkdir(parents=True)
        first = sorted(lines[1:], key=lambda line: json.loads(line)["problem"]["id"])[:12]
        run.write_bytes(b"".join([lines[0], *first]))
    monkeypatch.chdir(tmp_path)


def test_readmes_commands_that_need_no_engine_do_what_readme_says(two_runs, capsys):
    cheap = [
        command for page, command in commands() if page == "README.md" and command.split()[0] in ("replay", "choose")
    ]
    assert len(cheap) == 2
    for command in cheap:
        assert cli.main(shlex.split(command)) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert Path("out/replay/accuracy.png").is_file() and "1b best_of_n, n = 8, seed 0" in shown
    assert "latency of one problem alone is not measured" in shown and "not measured" in shown.split("price")[-2]
