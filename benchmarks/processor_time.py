"""Time by the clock, and of the processors, in this process and in the engines' own."""

import operator
import os
import time
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass

import psutil


@dataclass(frozen=True)
class Time:
    """Seconds by the clock, and of the processors: in this process, the policy's engine and the PRM's."""

    wall: float
    here: float
    policy: float
    prm: float

    @property
    def processors(self) -> float:
        """Of all of them."""
        return self.here + self.policy + self.prm

    def __add__(self, other: "Time") -> "Time":
        return Time(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: "Time") -> "Time":
        return Time(*map(operator.sub, astuple(self), astuple(other)))


@dataclass(frozen=True)
class Clocks:
    """The clocks of this process and of the engines'; `policy` and `prm` are the numbers of their processes."""

    policy: AbstractSet[int] = frozenset()
    prm: AbstractSet[int] = frozenset()

    def now(self) -> Time:
        """Read them; differences count. The time of a process that ends between two readings is lost."""
        policy, prm = (sum(map(_used, processes)) for processes in (self.policy, self.prm))
        return Time(time.perf_counter(), _used(os.getpid()), policy, prm)


def started() -> set[int]:
    """The numbers of all processes that this one started and that still run."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


def _used(process: int) -> float:
    try:
        times = psutil.Process(process).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
