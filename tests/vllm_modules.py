"""vLLM's files that this project's code, or the rehearsal, rests on: hashes from the GPU build, compared on a CPU.

The rehearsal (tests/gpu_rehearsal) runs the GPU runner of the build for CPUs. It is evidence for GPUs as long as the
two builds have the same files. `vllm_modules.json` keeps their hashes from the GPU build, made from its wheel by

    python tests/vllm_modules.py

with pip, which downloads it (about 330 MB) for the version that pyproject.toml asks for. Run it when vLLM is raised.
"""

import ast
import base64
import csv
import hashlib
import importlib.util
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
MANIFEST = Path(__file__).with_suffix(".json")
RUNNER = "vllm/v1/worker/gpu/"  # the GPU runner: all of its files count


def wanted_version() -> str:
    """The version of vLLM's GPU build in pyproject.toml."""
    found = re.search(r'"vllm==([^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert found, "pyproject.toml names no version of vllm"
    return found[1]


def imported() -> set[str]:
    """Modules of vLLM that the project's code imports, by name."""
    files = [*(ROOT / "tts_study").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    return {module for path in files for module in _imports(ast.parse(path.read_text()))}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vllm":
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "vllm")


def file_of(module: str, files: Mapping[str, str]) -> str:
    """A module's file, as a wheel names it."""
    path = module.replace(".", "/")
    return f"{path}.py" if f"{path}.py" in files else f"{path}/__init__.py"


def installed_hash(file: str) -> str | None:
    """The hash of an installed file; None if it is not there."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]).parent / file
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def wheel_hashes(wheel: Path) -> dict[str, str]:
    """The hashes that a wheel's RECORD gives its files."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = csv.reader(io.StringIO(archive.read(record).decode()))
        return {
            path: base64.urlsafe_b64decode(digest.removeprefix("sha256=") + "=").hex()
            for path, digest, _ in rows
            if digest.startswith("sha256=")
        }


def main() -> None:
    """Download the GPU build and write the manifest."""
    version = wanted_version()
    with tempfile.TemporaryDirectory() as folder:
        download = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", folder)
        subprocess.run((*download, f"vllm=={version}"), check=True)
        (wheel,) = Path(folder).glob("vllm-*.whl")
        hashes = wheel_hashes(wheel)
    files = {file_of(module, hashes) for module in imported()}
    files |= {file for file in hashes if file.startswith(RUNNER) and file.endswith(".py")}
    kept = {"wheel": wheel.name, "version": version, "sha256": {file: hashes[file] for file in sorted(files)}}
    MANIFEST.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{len(files)} files of {wheel.name}: {MANIFEST}")


if __name__ == "__main__":
    main()
