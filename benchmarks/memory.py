"""How much memory do the engines of a search take? The processes that it starts, and what each holds at its end."""

import os
import tempfile
from dataclasses import dataclass

import psutil

from tts_study import Study, paths
from tts_study.profiles import Profile

MIB = 2**20
LEAST = 50 * MIB  # smaller processes are not engines: vLLM starts one that only watches what it shares


@dataclass(frozen=True)
class EngineMemory:
    """Memory of the processes of a search.

    Attributes:
        prm: the PRM's name; "self" where the policy judges itself.
        engines: bytes of each engine's process, of which what several share is counted in equal parts (PSS).
    """

    prm: str
    engines: tuple[int, ...]

    def __str__(self) -> str:
        each = " + ".join(f"{size / MIB:,.0f}" for size in self.engines)
        processes = f"{len(self.engines)} engine process{'es' if len(self.engines) > 1 else ''}"
        return f"--prm {self.prm}: {processes}, {each} = {sum(self.engines) / MIB:,.0f} MiB"


def measure_memory(profile: Profile, *, problems: int, n: int, seed: int) -> EngineMemory:
    """Search some problems by DVTS, and measure the engines before they are closed."""
    with tempfile.TemporaryDirectory() as out:
        os.environ[paths.OUT] = out  # so that nothing is replayed
        with Study(profile, fresh=True, n_problems=problems, seed=seed) as study:
            study.run("dvts", n)
            sizes = [process.memory_full_info().pss for process in psutil.Process().children(recursive=True)]
    return EngineMemory(profile.prm, tuple(sorted((size for size in sizes if size >= LEAST), reverse=True)))
