"""Scaling test-time compute with open models: the public names, each imported with its first use.

from tts_study import Study

with Study("micro", policy="1b") as study:
print(study.run("best_of_n", n=64).accuracy)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tts_study.analysis.tables import show
    from tts_study.answers import is_correct as grade
    from tts_study.profiles import load_profile
    from tts_study.strategies import strategy
    from tts_study.study import Experiment, MethodRun, Solution, Study, load_run, solve

_HOMES = {
    "Experiment": "study",
    "MethodRun": "study",
    "Solution": "study",
    "Study": "study",
    "grade": "answers",
    "load_profile": "profiles",
    "load_run": "study",
    "show": "analysis.tables",
    "solve": "study",
    "strategy": "strategies",
}
__all__ = [
    "Experiment",
    "MethodRun",
    "Solution",
    "Study",
    "grade",
    "load_profile",
    "load_run",
    "show",
    "solve",
    "strategy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tts_study' has no attribute {name!r}")
    return getattr(import_module(f"tts_study.{_HOMES[name]}"), "is_correct" if name == "grade" else name)
