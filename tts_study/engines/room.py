"""Whether this machine has room for an engine: its devices and their memory against the model's shape.

It is decided before anything is loaded, and is a lower bound: what an engine needs while it computes is left out. Where
a model's shape or a machine's memory is unknown, the engine is started and vLLM decides.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from tts_study.engines.settings import EngineSettings
from tts_study.engines.shapes import DTYPE_BYTES, kv_bytes, shape_at_hand
from tts_study.errors import EngineUnavailable

NODES = Path("/sys/devices/system/node")  # where Linux lists the sockets' memory, for vLLM one node a worker
# environment variables by which vLLM lets several workers share a socket
SHARED_SOCKETS = ("VLLM_CPU_SIM_MULTI_NUMA", "VLLM_CPU_OMP_THREADS_BIND")


@dataclass(frozen=True)
class Machine:
    """What engines can run on.

    Attributes:
        devices: GPUs, or the sockets of a machine without any.
        memory: bytes of each.
        gpu: whether the devices are GPUs.
    """

    devices: int
    memory: float
    gpu: bool

    @property
    def device(self) -> str:
        """What one of them is called."""
        return "GPU" if self.gpu else "CPU socket"


def cpu_machine() -> Machine:
    """This machine without its GPUs."""
    sockets = len(list(NODES.glob("node[0-9]*"))) or 1
    return Machine(sockets, psutil.virtual_memory().total / sockets, gpu=False)


def gpu_machine() -> Machine | None:
    """The GPUs of this machine; None where vLLM has none, as when a test runs its GPU runner on a CPU."""
    from vllm.platforms import current_platform  # asks the driver; torch would use memory of each GPU to find out

    if not current_platform.is_cuda_alike():
        return None
    count = current_platform.device_count()
    return Machine(count, current_platform.get_device_total_memory() if count else 0, gpu=True)


def check_room(settings: EngineSettings, machine: Machine | None) -> None:
    """Make sure that a machine has the devices and the memory that an engine needs at least.

    Raises:
        EngineUnavailable: it has not; the reason says what is missing.
    """
    if machine is None:
        return
    model, shares = settings.model, settings.tensor_parallel_size
    needed = shares * (settings.data_parallel_size if machine.gpu else 1)
    may_share = not machine.gpu and any(os.environ.get(name, "auto") not in ("0", "auto") for name in SHARED_SOCKETS)
    if needed > machine.devices and not may_share:
        raise EngineUnavailable(
            f"{model} takes {needed} {machine.device}s (tensor_parallel_size={shares}), and this machine has "
            f"{machine.devices}: use a larger machine or a smaller model"
        )
    shape = shape_at_hand(model)
    if shape is None:
        return
    weights = min(shape.weight_bytes, shape.parameters * DTYPE_BYTES[settings.dtype]) / shares
    if machine.gpu:
        cache = kv_bytes(shape, settings.max_model_len, settings.dtype) / shares
        share = settings.gpu_memory_utilization
    else:
        cache, share = settings.kv_cache_gib * 2**30, 1.0
    if weights + cache > share * machine.memory:
        raise EngineUnavailable(
            f"{model} takes at least {(weights + cache) / 1e9:.1f} GB of each {machine.device} (weights and KV cache), "
            f"and its share is {share * machine.memory / 1e9:.1f} GB: use a larger machine or a smaller model"
        )
