"""Let a PRM judge solutions that are given, and keep its scores: a run without a policy, which resumes as others do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts_study.engines.interface import PRM
from tts_study.problems.labelled import LabelledSolution
from tts_study.profiles import Profile
from tts_study.prompts.prm.critique import CRITIQUE
from tts_study.records import Completion, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.collect import collect
from tts_study.runs.engines import ENGINES
from tts_study.runs.run import at_once
from tts_study.runs.spec import describe_prm
from tts_study.runs.store import Header, Run

NAME = "prm-bench"
# the profile's settings that a PRM's scores depend on
SETTINGS = ("prm_chat_template", "prm_format", "prm_separator", "dtype", "max_model_len")
OF_A_POLICY = ("chat_template", "system_prompt")  # and, of a policy that judges itself, on its prompt
OF_A_CRITIC = ("temperature", "top_p", "max_tokens", "max_thought_tokens")  # and, of one that writes, on its sampling


@dataclass(frozen=True)
class Judge:
    """A solver that scores the steps of a given solution instead of searching for one."""

    prm: PRM
    steps: Mapping[str, tuple[str, ...]]  # of the solution, by the problem's id
    sampler: str = "none"  # nothing is drawn

    async def start(self) -> None:
        """Start the engine."""
        await self.prm.start()

    async def solve(self, problem: Problem) -> SearchResult:
        """Score the solution of one problem."""
        steps = self.steps[problem.id]
        scored = await self.prm.score_solutions(problem, [steps])
        return SearchResult(problem.id, (Completion(steps, 0, True, scored.step_scores[0]),), scored.cost)


async def judge(profile: Profile, solutions: Sequence[LabelledSolution], dataset: str, *, path: Path) -> Run:
    """Score the solutions by a profile's PRM, which starts if some are not in the run yet.

    Raises:
        UserError: `path` contains another run, there is no such checkpoint, or solutions failed (the rest is stored).
    """
    problems = [solution.problem for solution in solutions]
    async with ENGINES.lent(profile, needs_prm=True) as (_, prm):
        assert prm is not None
        return await collect(
            problems, Judge(prm, {solution.problem.id: solution.steps for solution in solutions}), path=path,
            header=_header(profile, problems, dataset), title=NAME, concurrency=at_once(profile, 1),
        )  # fmt: skip


def _header(profile: Profile, problems: Sequence[Problem], dataset: str) -> Header:
    settings = profile.settings()
    names = (
        *SETTINGS, *(OF_A_POLICY if profile.judges_itself else ()),
        *(OF_A_CRITIC if profile.prm_format == CRITIQUE else ()),
    )  # fmt: skip
    return {
        "strategy": NAME,
        "prm": describe_prm(profile),
        "dataset": store.describe_dataset(dataset, problems),
        "settings": {name: settings[name] for name in names if name in settings},
    }
