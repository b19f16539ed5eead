"""The study as a Python object: `Study("micro", policy="1b").run("best_of_n", n=64)`.

It replays recorded runs, or with `fresh=True` searches with real engines, which it owns and closes. It may be used in a
script, a notebook or any thread: its engines belong to an event loop of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pandas as pd

from tts_study.analysis.accuracy import accuracy_P, powers_of_two
from tts_study.analysis.grading import Graded, grade, picked, support
from tts_study.analysis.grid import Grid, Part, build
from tts_study.analysis.inference import Floats, Interval, bootstrap
from tts_study.analysis.ladder import Ladder
from tts_study.engines.background import wait
from tts_study.errors import EngineUnavailable, UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import Profile, load_profile
from tts_study.records import Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.engines import ENGINES
from tts_study.runs.recorded import fresh_path, recorded
from tts_study.runs.run import run_spec, searching
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Run
from tts_study.strategies import SEARCHES, Method, Search, find
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import Rule, check_whole

BOUND: Rule = "pass"  # pass@n in an experiment: what a perfect verifier would pick from the same completions

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class MethodRun:
    """A method at some n, read off a run that contains it.

    Attributes:
        method: the method.
        n: generations for each problem.
        run: the run, which may be of a larger n.
        graded: the same run, graded.
        aggregation: from step scores to a score.
        seed: of subsets and of the bootstrap.
    """

    method: Method
    n: int
    run: Run
    graded: Graded
    aggregation: Aggregation
    seed: int

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The run's problems."""
        return self.run.problems

    @property
    def results(self) -> tuple[SearchResult, ...]:
        """What was found for each of them."""
        return self.run.results

    @cached_property
    def solved_P(self) -> Floats:
        """Each problem's chance to be solved by the method at n, in [0, 1]."""
        rule = self.method.rule
        return accuracy_P(self.graded, rule, self.n, aggregation=self.aggregation, seed=self.seed)

    @cached_property
    def accuracy(self) -> Interval:
        """The share of problems that the method solves at n, in [0, 1], with its 95 % interval."""
        return bootstrap(self.solved_P, seed=self.seed)


@dataclass(frozen=True, eq=False)
class Experiment:
    """Methods at some budgets.

    Attributes:
        runs: the runs by search and n: sampling and DVTS have one, of the largest n, and beam search one for each.
        graded: the same runs, graded.
        grid: accuracy and cost of every method at every budget that it has.
    """

    runs: Mapping[tuple[str, int], Run]
    graded: Mapping[tuple[str, int], Graded]
    grid: Grid

    @property
    def samples(self) -> Graded:
        """The graded run of independently sampled completions.

        Raises:
            UserError: no method here reads one.
        """
        found = [graded for (search, _), graded in self.graded.items() if search in ("best_of_n", "sample")]
        if not found:
            raise UserError("no sampled completions here: add majority, best or weighted to the experiment's methods")
        return found[0]


@dataclass(frozen=True)
class Solution:
    """What a method answers to one question.

    Attributes:
        answer: the answer, or None where no completion has one.
        result: all completions, the tree if the method searched one, and what it cost.
        aggregation: from step scores to a score.
    """

    answer: str | None
    result: SearchResult
    aggregation: Aggregation = "last"

    @property
    def support(self) -> pd.DataFrame:
        """How often each answer was given, as of `grading.support`."""
        return support(self.result, self.aggregation)


class Study:
    """Methods by one policy on one data set."""

    def __init__(
        self, profile: str | Profile = "micro", profile_options: str = "", *, seed: int = 0, fresh: bool = False,
        n_problems: int | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        """Note the settings; nothing is loaded yet.

        Args:
            profile: a profile's name.
            profile_options: fields of the profile as one text, "temperature=0.7 max_tokens=512"; `settings` go first.
            seed: of every random draw.
            fresh: search with real engines, or resume such a search, instead of replaying a recorded run.
            n_problems: the number of problems, from the data set's first on; all if None.
            settings: fields of the profile, such as `policy="3b"`, and options of searches, such as `beam_width=8`.
                Those that are None are ignored.

        Raises:
            UserError: there is no such profile or setting, or a value is invalid.
        """
        _check_asked(seed, fresh, n_problems)
        settings = {name: value for name, value in settings.items() if value is not None}
        known = {field.name for field in fields(Profile)}
        every = {name for search in SEARCHES.values() for name in search.defaults}
        self._options = {name: value for name, value in settings.items() if name in every - known}
        others = {name: value for name, value in settings.items() if name not in self._options}
        self.profile = load_profile(profile, profile_options, **others)
        self.seed, self.fresh, self._n_problems = seed, fresh, n_problems

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Shut the engines down; the next search starts them again."""
        wait(ENGINES.close())

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """The problems that are asked.

        Raises:
            UserError: there is no such data set, or it has no such problems.
        """
        return load_problems(self.profile, self._n_problems)

    @property
    def aggregation(self) -> Any:
        """From step scores to a score: "last", "min" or "prod"."""
        return self.profile.aggregation

    def run(self, method: str | Method, n: int = 1, **options: Any) -> MethodRun:
        """A method with `n` generations for each problem.

        Args:
            method: its name, "my_file.py:name", or a `Method`.
            n: generations for each problem.
            options: the search's options, in place of the study's.

        Raises:
            UserError: there is no such method or option, nothing is recorded that contains it, or problems failed.
        """
        found = find(method)
        run = self._run(found.search, n, options)
        return MethodRun(found, n, run, grade(run.problems, run.results), self.aggregation, self.seed)

    def grid(self, methods: Sequence[str | Method], ns: int | Sequence[int], **options: Any) -> Experiment:
        """Several methods at several budgets, from as few runs as contain them.

        Args:
            methods: cheap ones first: of equally good ones the first is chosen. "pass" adds the upper bound pass@n.
            ns: the budgets, or the largest of 1, 2, 4 …; greedy decoding has 1 in any case, and a search leaves out
                those it cannot spend.
            options: options of searches, in place of the study's.

        Raises:
            UserError: as `run`, or a method can spend none of the budgets.
        """
        wanted = [_bound() if method == BOUND else find(method) for method in methods]
        ns = powers_of_two(ns) if isinstance(ns, int) else ns
        runs: dict[tuple[str, int], Run] = {}
        graded: dict[tuple[str, int], Graded] = {}
        parts = []
        for method in wanted:
            search = self._shared(method.search, wanted)
            spent = self._spent(search, ns, options)
            # the runs, and the budgets that each answers for
            reads = {n: (n,) for n in spent} if search.smaller_n == "own run" else {max(spent): spent}
            for n, read in reads.items():
                key = search.name, n
                if key not in runs:
                    runs[key] = self._run(search, n, options)
                    graded[key] = grade(runs[key].problems, runs[key].results)
                parts.append(Part(method.name, runs[key], graded[key], method.rule, read))
        return Experiment(runs, graded, build(parts, aggregation=self.aggregation, seed=self.seed))

    def greedy_by_policy(self) -> Ladder[MethodRun]:
        """Greedy decoding by every policy of the profile's ladder that can run here."""
        return self.by_policy(lambda study: study.run("greedy"))

    def by_policy(self, ask: Callable[["Study"], T]) -> Ladder[T]:
        """Ask the same of every policy of the profile's ladder, and of the study's own if it is another one.

        Args:
            ask: what to ask; it is given a study like this one, by another policy.

        Returns:
            What was found, and the reason for each policy that this machine has no room for.

        Raises:
            EngineUnavailable: it has room for none of them.
            UserError: as `run`.
        """
        own = self.profile.policy
        names = [*self.profile.policies] if own in self.profile.policies else [own, *self.profile.policies]
        found, left_out = {}, {}
        for name in names:
            study = copy(self)
            study.profile = load_profile(self.profile, policy=name)
            try:
                found[name] = ask(study)
            except EngineUnavailable as error:
                left_out[name] = str(error)
        return Ladder(found.items(), left_out.items()).check()

    def solve(self, text: str, method: str | Method = "best_of_n", n: int = 16, **options: Any) -> Solution:
        """Answer one question, with real engines.

        Raises:
            UserError: there is no such method or option, or it cannot spend `n`; or the question is too long.
        """
        found, problem = find(method), Problem("question", text, answer="")
        spec = RunSpec.of(self.profile, found, [problem], n=n, seed=self.seed, options=self._of(found.search, options))

        async def search() -> SearchResult:
            async with searching(spec) as solver:
                await solver.start()
                return await solver.solve(problem)

        result = wait(search())
        return Solution(picked(result, found.rule, self.aggregation), result, self.aggregation)

    def _of(self, search: Search, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a search: the study's where the search has them, and those given."""
        return {name: value for name, value in self._options.items() if name in search.defaults} | {
            name: value for name, value in options.items() if value is not None
        }

    def _run(self, search: Search, n: int, options: Mapping[str, Any]) -> Run:
        asked = self._of(search, options)
        spec = RunSpec.of(self.profile, search, self.problems, n=n, seed=self.seed, options=asked)
        return wait(run_spec(spec, path=fresh_path(spec))) if self.fresh else recorded(spec)

    def _shared(self, search: Search, methods: Sequence[Method]) -> Search:
        """The search itself, or one that contains it and that another method needs anyway."""
        others = {method.search.name: method.search for method in methods}
        return next((others[name] for name in search.contained_in if name in others), search)

    def _spent(self, search: Search, ns: Sequence[int], options: Mapping[str, Any]) -> tuple[int, ...]:
        if search.name == "greedy":
            return (1,)
        width = search.options(self._of(search, options)).get("beam_width", 1)
        for n in ns:
            check_whole("n", n)
        spent = tuple(n for n in sorted(set(ns)) if n % width == 0)
        if not spent:
            raise UserError(
                f"{search.name} can spend none of n = {list(ns)}: give a multiple of its beam_width, {width}"
            )
        return spent


def solve(text: str, method: str = "best_of_n", n: int = 16, *, profile: str = "micro", **settings: Any) -> Solution:
    """Answer one question with real engines, which are closed afterwards; arguments as of `Study` and `Study.solve`."""
    with Study(profile, **settings) as study:
        return study.solve(text, method, n)


def _check_asked(seed: Any, fresh: Any, n_problems: Any) -> None:
    """Make sure of the types: a notebook's parameter may come as text (`papermill -r fresh False`)."""
    if not isinstance(fresh, bool):
        raise UserError(
            f"fresh must be True or False, and {fresh!r:.40} is a {type(fresh).__name__} (papermill: use -p)"
        )
    check_whole("seed", seed)
    if n_problems is not None:
        check_whole("n_problems", n_problems)


def load_run(path: str | Path) -> Run:
    """Read a run's file: .jsonl or .jsonl.gz.

    Raises:
        UserError: there is none, or a line of it is broken.
    """
    return store.load(Path(path))


def _bound() -> Method:
    return Method(str(BOUND), SEARCHES["sample"], BOUND, "pass@n (oracle)")
