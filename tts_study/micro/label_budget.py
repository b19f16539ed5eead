"""How good does a PRM get from how many labels, and from which: the exact checker's, or those of rollouts?

The same sampled solutions are labelled twice. *exact* asks the step checker, which stands in for a careful human;
*rollouts* asks whether one of eight continuations of a step reached the right answer (`rollouts`). A PRM of each kind
starts as the same policy and trains on the first solutions with the same loss, batches and number of steps, so that
the labels are all that differs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.errors import UserError
from tts_study.micro.problems import check_steps, parse_problem
from tts_study.runs.store import Run, load

KINDS = ("exact", "rollouts")
BUDGETS = (50, 100, 200, 400, 800)  # labelled solutions
ROLLOUTS = 8  # continuations of each step
STEPS = 300  # of the optimizer


@dataclass(frozen=True)
class Labelled:
    """A sampled solution and its labels.

    Attributes:
        problem: its text.
        steps: of the solution.
        shares: of each step's rollouts, the share that reached the right answer.
    """

    problem: str
    steps: tuple[str, ...]
    shares: tuple[float, ...]

    def labels(self, kind: str) -> list[bool]:
        """Whether each step is right, as labels of one of `KINDS` have it."""
        if kind == "rollouts":
            return [share > 0 for share in self.shares]
        return check_steps(parse_problem(self.problem), list(self.steps))


def read_labelled(file: Path | None = None) -> list[Labelled]:
    """The labelled solutions, in the order in which a budget takes them.

    Raises:
        UserError: there is no such file.
    """
    file = file or labels_file()
    if not file.exists():
        raise UserError(f"there is no {file}: python -m tts_study.micro label-budget samples it")
    rows = map(json.loads, file.read_text().splitlines())
    return [Labelled(row["problem"], tuple(row["steps"]), tuple(row["shares"])) for row in rows]


def labels_file() -> Path:
    """Where the labelled solutions are."""
    return paths.data() / "micro" / "verifiers" / "labelled.jsonl"


def quality_file() -> Path:
    """Where the recorded trainings are."""
    return paths.data() / "micro" / "verifiers" / "label_budget.jsonl"


def count(labelled: Sequence[Labelled], kind: str) -> dict[str, int]:
    """What labels cost: solutions, labels (one a step), and continuations that were sampled for them.

    A solution's last step is compared with the answer and has no continuations.
    """
    labels = sum(len(each.steps) for each in labelled)
    sampled = ROLLOUTS * (labels - len(labelled)) if kind == "rollouts" else 0
    return {"solutions": len(labelled), "labels": labels, "continuations": sampled}


def read_quality(file: Path | None = None) -> list[dict[str, Any]]:
    """The recorded trainings.

    Raises:
        UserError: there is no such file.
    """
    file = file or quality_file()
    if not file.exists():
        raise UserError(f"there is no {file}: python -m tts_study.micro label-budget makes it")
    return [json.loads(line) for line in file.read_text().splitlines()]


def judged_run(n_problems: int) -> Run:
    """The recorded completions that quality is measured on: the 1b's, of the test set's first problems."""
    run = load(paths.data() / "runs" / "micro" / "1b-best_of_n-n64-seed0.jsonl.gz")
    return run.of(run.problems[:n_problems])


def trained(solutions: int, kind: str, *, seed: int, n_problems: int, steps: int = STEPS) -> dict[str, Any]:
    """Train one PRM now, about a minute on one core, and let it judge recorded completions.

    Args:
        solutions: how many of the labelled solutions it learns from.
        kind: one of `KINDS`.
        seed: of the batches.
        n_problems: whose recorded completions are judged.
        steps: of the optimizer.

    Returns:
        A row as the recorded ones.

    Raises:
        UserError: there is no such kind of labels, or there are not as many solutions, or PyTorch is not installed.
    """
    labelled = read_labelled()
    if kind not in KINDS:
        raise UserError(f"unknown labels {kind!r}: choose from {', '.join(KINDS)}")
    if not 1 <= solutions <= len(labelled):
        raise UserError(f"solutions must be from 1 to {len(labelled)}, and {solutions} is not")
    try:
        from tts_study.micro.label_training import train_and_judge
    except ModuleNotFoundError as error:
        raise UserError(
            f"training a PRM needs {error.name}, which is not installed here: run `make setup`, or replay the recorded "
            "trainings with fresh = False"
        ) from error
    return train_and_judge(labelled[:solutions], kind, judged_run(n_problems), seed=seed, steps=steps)


def label_errors(labelled: Sequence[Labelled]) -> list[tuple[bool, bool, bool]]:
    """Of each label: what rollouts say, what is right, and whether it is the solution's last step."""
    return [
        (said, right, last)
        for each in labelled
        for i, (said, right) in enumerate(zip(each.labels("rollouts"), each.labels("exact"), strict=True))
        for last in [i == len(each.steps) - 1]
    ]
