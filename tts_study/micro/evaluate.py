"""Measure the micro models on new problems: the numbers of the model cards."""

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tts_study.analysis.accuracy import accuracy_P
from tts_study.analysis.first_errors import auroc
from tts_study.analysis.grading import Graded, grade
from tts_study.micro.generate import generate
from tts_study.micro.problems import check_steps, parse_problem
from tts_study.micro.records import as_problems
from tts_study.profiles import load_profile
from tts_study.runs.engines import ENGINES
from tts_study.runs.run import run_spec
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Run

N = 64  # completions a problem
PRM_NS = (1, 4, 16, 64)


async def evaluate(seed: int, n_problems: int, policies: Sequence[str] = (), **overrides: Any) -> dict[str, Any]:
    """Measure every policy, and the PRM on the samples of each.

    Args:
        seed: of the problems (drawn from the test split) and of the sampling.
        n_problems: how many; a multiple of 20 has each subject and level equally often.
        policies: short names; all of the micro profile's if empty.
        overrides: fields of the profile, such as `prm="data/micro/prm"`.

    Returns:
        For each policy its accuracies, overall and by level, and what the PRM makes of its samples.
    """
    problems = as_problems(list(islice(generate("test", f"evaluate-{seed}"), n_problems)), f"evaluate-{seed}")
    report: dict[str, Any] = {"seed": seed, "problems": n_problems, "n": N, "policies": {}}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in policies or load_profile("micro").policies:
                profile = load_profile("micro", policy=name, **overrides)
                place = Path(folder, Path(name).name)
                one = RunSpec.of(profile, "greedy", problems, n=1, seed=seed)
                many = RunSpec.of(profile, "best_of_n", problems, n=N, seed=seed)
                greedy = await run_spec(one, path=place / "greedy")
                sampled = await run_spec(many, path=place / "sampled")
                report["policies"][name] = measure(greedy, sampled, profile.aggregation)
        finally:
            await ENGINES.close()
    return report


def measure(greedy: Run, sampled: Run, aggregation: Any) -> dict[str, Any]:
    """One policy's accuracies in percent, and the PRM's quality on its samples."""
    one, many = grade(greedy.problems, greedy.results), grade(sampled.problems, sampled.results)
    per_problem = {
        "greedy": one.correct_P_N[:, 0].astype(float),
        "pass@1": accuracy_P(many, "pass", 1),
        f"majority@{N}": accuracy_P(many, "majority", N),
        f"coverage@{N}": accuracy_P(many, "pass", N),
    }
    report: dict[str, Any] = {
        name: {"overall": percent(values_P.mean())} | by_level(many, values_P) for name, values_P in per_problem.items()
    }
    report["prm"] = {"steps": judge_steps(sampled)} | {
        method: {n: percent(accuracy_P(many, method, n, aggregation=aggregation).mean()) for n in PRM_NS}
        for method in ("best", "weighted", "majority")
    }
    solvable_P = many.correct_P_N.any(axis=1)
    first_P = accuracy_P(many, "best", N, aggregation=aggregation)
    report["prm"]["correct_ranked_first"] = percent(first_P[solvable_P].mean())
    return report


def percent(share: float) -> float:
    """A share in [0, 1] as a percentage with one decimal."""
    return round(100 * float(share), 1)


def by_level(graded: Graded, values_P: np.ndarray) -> dict[str, float]:
    """Mean of per-problem values at each level, in percent."""
    return {f"level {level}": percent(values_P[graded.level_P == level].mean()) for level in (1, 2, 3, 4, 5)}


def judge_steps(run: Run) -> dict[str, float]:
    """Accuracy (at 0.5, in percent) and AUROC of the PRM's step scores against the exact checker.

    Steps after a completion's first wrong one are left out: they are wrong by definition.
    """
    rows: list[tuple[float, bool]] = []
    for problem, result in zip(run.problems, run.results, strict=True):
        micro = parse_problem(problem.text)
        for completion in result.completions:
            labels = check_steps(micro, list(completion.steps))
            judged = sum(labels) + 1
            rows += zip(completion.step_scores[:judged], labels[:judged], strict=True)
    table = pd.DataFrame(rows, columns=["score", "right"])
    right = table["right"].astype(bool)
    return {
        "accuracy": percent(((table["score"] > 0.5) == right).mean()),
        "right_steps_passed": percent((table["score"][right] > 0.5).mean()),
        "wrong_steps_caught": percent((table["score"][~right] <= 0.5).mean()),
        "auroc": round(auroc(table["score"], right), 4),
    }
