"""vLLM's builds for GPUs and CPUs agree in what this project uses, so that what is tested on a CPU counts for a GPU."""

import json

import vllm_modules

MANIFEST = json.loads(vllm_modules.MANIFEST.read_text())
RENEW = "run `python tests/vllm_modules.py`, which downloads the GPU build, and look at what differs"


def test_the_manifest_is_of_the_version_that_is_asked_for():
    wanted = vllm_modules.wanted_version()
    assert MANIFEST["version"] == wanted, f"pyproject.toml asks for vllm {wanted}: {RENEW}"


def test_every_module_of_vllm_that_is_imported_is_in_the_manifest():
    files = MANIFEST["sha256"]
    missing = {module for module in vllm_modules.imported() if vllm_modules.file_of(module, files) not in files}
    assert not missing, f"{', '.join(sorted(missing))}: {RENEW}"
    assert len([file for file in files if file.startswith(vllm_modules.RUNNER)]) > 20


def test_what_is_installed_is_what_the_gpu_build_holds():
    own = "vllm/platforms/__init__.py"  # names the platform of its build
    differs = [
        file
        for file, digest in MANIFEST["sha256"].items()
        if file != own and vllm_modules.installed_hash(file) != digest
    ]
    assert not differs, f"the installed vLLM differs from the GPU build's in {', '.join(differs)}: {RENEW}"
