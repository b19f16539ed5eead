"""The errors that the user can fix."""

from typing import Any

# what each optional package is needed for, and how to get it: replaying recorded runs needs none of them
OPTIONAL = {
    "torch": ("training needs PyTorch", "run `make setup` on Linux (with DEVICE=gpu for GPUs)"),
    "vllm": (
        "searching with real models needs vLLM",
        "run `make setup` on Linux (with DEVICE=gpu for GPUs), or use engines on servers (docs/remote.md)",
    ),
    "ray": ("a run on a cluster needs Ray", "run `pip install -c constraints.txt -e '.[ray]'` in a checkout"),
    "papermill": (
        "running notebooks needs Papermill",
        "run `pip install -c constraints.txt -e '.[read]'` in a checkout",
    ),
}


class UserError(Exception):
    """Bad input, in one sentence: what, where, and what to do. The command line exits with code 2 on it."""

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is sent from a worker to the driver: with what it says, whatever its class is made from."""
        return _sent, (type(self), self.args, self.__dict__)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, and not the code that it came from."""
        return [str(self)]


def _sent(kind: type[UserError], args: tuple[Any, ...], state: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class NotRecorded(UserError):
    """What a replay asks for is in no recorded run and would have to be searched."""


class NotInstalled(UserError):
    """An optional package is missing."""

    def __init__(self, package: str) -> None:
        """Say what the package is needed for, and what installs it."""
        purpose, remedy = OPTIONAL[package]
        super().__init__(f"{purpose}, which is not installed here: {remedy}")


class RunStopped(UserError):
    """A failure that would repeat with every problem (a full disk, an engine whose numbers are wrong): the run ends."""


class EngineLost(UserError):
    """An engine died, or the worker that held it: the same request may succeed at another one."""


class EngineUnavailable(UserError):
    """An engine cannot run here: too few devices, too little memory, or no server that has the model."""


def one_line(text: str, longest: int = 300) -> str:
    """External text, made safe to show: in one line, printable, and not too long."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 10 * longest])
    words = " ".join(shown.split())
    return words if len(words) <= longest else words[: longest - 1] + "…"
