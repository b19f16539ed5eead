"""The blog's claims, tested on the recorded micro runs: docs/claims.md, printed by `python -m tts_study.micro claims`.

Differences are paired on the same problems; intervals and tests draw whole families of problems (subject and level)
where there are enough of them; p-values are corrected for all tests of the page (Holm).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from tts_study.analysis import verifiers
from tts_study.analysis.experiment import Experiment
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import Floats, PairedTest, holm, paired_test
from tts_study.micro.problems import check_steps, parse_problem
from tts_study.records import Problem, SearchResult
from tts_study.strategies import tree
from tts_study.study import Study

DROPPED = "beam_search_dropped"  # beam search with drop_duplicates, as in search-and-learn's recipes
RIVAL = ("8b", "weighted", 16)  # with the PRM it costs about what beam search by the 1b costs at n = 64
METHODS = ("greedy", "majority", "best", "weighted", "beam_search", "dvts")
POLICIES = ("1b", "3b")
LARGER = ("8b", "70b")  # which sample only
NS = (1, 4, 16, 64)
SEARCHED = ("majority", "best", "weighted", "beam_search", "dvts", "particle_filter", "rebase")  # with each verifier
JUDGED = 100  # problems that the runs with each verifier are of
SEED = 0
Place = tuple[str, str, int]  # policy, method, n


@dataclass(frozen=True)
class Claim:
    """What the blog says, as a difference that ought to be positive.

    Attributes:
        text: the claim.
        notebook: where it is looked at.
        better: method and n that ought to be better; its policy is each small one, unless it is named.
        than: method and n that ought to be worse.
        levels: the levels of the problems that it is about.
    """

    text: str
    notebook: str
    better: tuple[str, int]
    than: tuple[str, int] | Place
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)


CLAIMS = (
    Claim("Best-of-N by a PRM beats majority voting", "01", ("best", 64), ("majority", 64)),
    Claim("weighted Best-of-N beats Best-of-N", "02", ("weighted", 64), ("best", 64)),
    Claim("beam search beats Best-of-N at small n", "03", ("beam_search", 4), ("best", 4)),
    Claim("beam search needs a quarter of Best-of-N's n", "03", ("beam_search", 16), ("best", 64)),
    Claim("beam search loses on easy problems at large n", "03", ("weighted", 64), ("beam_search", 64), (1, 2)),
    Claim("beam search beats sampling on hard problems", "03", ("beam_search", 64), ("weighted", 64), (4, 5)),
    Claim("DVTS beats beam search at large n", "04", ("dvts", 64), ("beam_search", 64)),
    Claim("beam search beats DVTS at small n", "04", ("beam_search", 16), ("dvts", 16)),
    Claim("beam search is better when copies keep their places", "03", ("beam_search", 64), (DROPPED, 64)),
    Claim("a small policy with search overtakes the 8b", "06", ("dvts", 64), ("8b", "greedy", 1)),
    Claim("a small policy with search overtakes the 70b", "06", ("dvts", 64), ("70b", "greedy", 1)),
    Claim("a small policy with search beats the 8b that samples, for as many FLOPs", "06", ("beam_search", 64), RIVAL),
)


def rows() -> list[tuple[Claim, str, PairedTest, float]]:
    """Each claim for each small policy: its test, and its p-value corrected for all of them."""
    grids = {policy: _grid(policy) for policy in (*POLICIES, *LARGER)}
    problems = Study("micro").problems
    level_P = np.array([problem.level for problem in problems])
    family_P = np.array([f"{problem.subject} {problem.level}" for problem in problems])
    found = []
    for claim in CLAIMS:
        asked_P = np.isin(level_P, claim.levels)
        for policy in POLICIES:
            than: Place = (policy, *claim.than) if len(claim.than) == 2 else claim.than  # type: ignore[assignment]
            a_P, b_P = (_solved(grids, place)[asked_P] for place in ((policy, *claim.better), than))
            found.append((claim, policy, paired_test(a_P, b_P, family_P[asked_P], seed=SEED)))
    corrected = holm([test.p_value for *_, test in found])
    return [(*row, float(p)) for row, p in zip(found, corrected, strict=True)]


def table() -> str:
    """The claims as a Markdown table."""
    lines = [
        "| claim | policy | difference in points (95 %) | p (Holm) | detectable | verdict | notebook |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for claim, policy, test, p in rows():
        p_text = "<0.001" if p < 1e-3 else f"{p:.3f}"
        difference = f"{100 * test.difference:+.1f} ({100 * test.low:+.1f} to {100 * test.high:+.1f})"
        lines.append(
            f"| {claim.text} | {policy} | {difference} | {p_text} | {100 * test.detectable:.1f} "
            f"| {verdict(test, p)} | {claim.notebook} |"
        )
    return "\n".join(lines) + "\n"


def by_verifier(policy: str) -> str:
    """Notebook 07's paired tests as a Markdown table: a row for each pair of methods, a column for each verifier."""
    quality = verifiers.axis([])
    found = {}
    for model in quality["model"]:
        with Study("micro", policy=policy, prm=model, n_problems=JUDGED, seed=SEED) as study:
            found[model] = study.grid(SEARCHED, NS[1:]).grid
    tests = verifiers.tests(found, quality, seed=SEED)
    columns = [f"F1 {row.f1:.2f} ({row.verifier})" for row in quality.itertuples()]
    lines = [
        f"| difference in points (95 %) | {' | '.join(columns)} | verdict |",
        "| --- |" + " ---: |" * len(columns) + " --- |",
    ]
    for pair, rows in tests.groupby("pair", sort=False):
        cells = [
            f"{100 * row.difference:+.0f} ({100 * row.low:+.0f} to {100 * row.high:+.0f}){'*' * (row.p_holm < 0.05)}"
            for row in rows.itertuples()
        ]
        lines.append(f"| {pair} | {' | '.join(cells)} | {_over_all(rows)} |")
    return "\n".join(lines) + "\n"


def _over_all(rows: pd.DataFrame) -> str:
    """What the corrected tests of all verifiers say together of one difference."""
    real = rows[rows["p_holm"] < 0.05]["difference"]
    if real.empty:
        return "not distinguishable"
    if len(real) == len(rows) and (real > 0).nunique() == 1:
        return "positive with each" if real.iloc[0] > 0 else "negative with each"
    return "depends on the verifier"


def by_subject() -> str:
    """Accuracy in percent by subject: each method at the largest n that the policy has a run of."""
    problems = Study("micro").problems
    subject_P = np.array([problem.subject for problem in problems])
    subjects = np.unique(subject_P)
    lines = [f"| policy | method | all | {' | '.join(subjects)} |", "| --- | --- |" + " ---: |" * (len(subjects) + 1)]
    for policy in (*POLICIES, *LARGER):
        grid = _grid(policy)
        for method in grid.strategies:
            solved_P = grid.of(method)[1][-1]
            shares = [solved_P.mean(), *(solved_P[subject_P == subject].mean() for subject in subjects)]
            lines.append(f"| {policy} | {method} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def verdict(test: PairedTest, p: float) -> str:
    """What a corrected test says of a claim that the difference is positive."""
    if p >= 0.05:
        return "not distinguishable"
    return "supported" if test.difference > 0 else "not supported: the opposite"


@cache  # two of the tables need it
def _grid(policy: str) -> Grid:
    with Study("micro", policy=policy, seed=SEED) as study:
        if policy in LARGER:
            return study.grid(METHODS[:4], NS[:3]).grid
        dropped = study.grid(["beam_search"], NS, drop_duplicates=True).grid
        return study.grid(METHODS, NS).grid.beside("beam_search", dropped, DROPPED)


def _solved(grids: dict[str, Grid], place: Place) -> Floats:
    policy, method, n = place
    ns, accuracy_n_P = grids[policy].of(method)
    return accuracy_n_P[ns.index(n)]


# --- sound beside right ----------------------------------------------------------------------------------------------


def soundness() -> str:
    """Right answers and soundly derived ones, and where searches lose, as a Markdown table."""
    lines = [
        "| policy | method | right answer found | soundly derived | picked | never sampled | pruned or out-ranked |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for policy in POLICIES:
        with Study("micro", policy=policy, seed=SEED) as study:
            found = {method: study.grid([method], [64]) for method in ("best", "beam_search", "dvts")}
            found[DROPPED] = study.grid(["beam_search"], [64], drop_duplicates=True)
            for method, experiment in found.items():
                shares = " | ".join(f"{100 * share:.1f}" for share in _shares(experiment))
                lines.append(f"| {policy} | {method} | {shares} |")
    return "\n".join(lines) + "\n"


def _shares(found: Experiment) -> list[float]:
    """Shares of problems: right among n, sound among n, picked right; and of those not picked right, why not."""
    (run,), (graded,) = found.runs.values(), found.graded.values()
    sound_P = np.array([_sound(*pair) for pair in zip(run.problems, run.results, strict=True)])
    (method,) = found.grid.strategies
    picked_P = found.grid.of(method)[1][-1] > 0.5
    return [
        float(value.mean())
        for value in (graded.correct_P_N.any(axis=1), sound_P, picked_P, ~picked_P & ~sound_P, ~picked_P & sound_P)
    ]


def _sound(problem: Problem, result: SearchResult) -> bool:
    """Whether a whole solution without a wrong step was sampled, or in a search: could be read in its tree."""
    micro = parse_problem(problem.text)
    solutions = [completion.steps for completion in result.completions]
    if result.tree:
        ends = [leaf for leaf in tree.leaves(result.tree) if tree.finished(result.tree, leaf)]
        solutions = [tree.completion(result.tree, leaf).steps for leaf in ends]
    distinct = {steps for steps in solutions if steps and steps[-1].startswith(r"\boxed")}
    return any(all(check_steps(micro, list(steps))) for steps in distinct)
