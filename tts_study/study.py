"""The study as a Python object: `Study("micro", policy="1b").run("best_of_n", n=64)`.

It replays recorded runs, or with `fresh=True` searches with real engines, which it owns and closes. It may be used in a
script, a notebook or any thread: its engines belong to an event loop of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pandas as pd

from tts_study.analysis.accuracy import powers_of_two
from tts_study.analysis.experiment import Experiment, MethodRun
from tts_study.analysis.grading import Graded, grade, picked, support
from tts_study.analysis.grid import Part, build
from tts_study.analysis.ladder import Ladder
from tts_study.analysis.tables import typeset_nothing
from tts_study.engines.background import wait
from tts_study.errors import EngineUnavailable, NotRecorded, UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import Profile, load_profile, read_options
from tts_study.records import Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.engines import ENGINES
from tts_study.runs.recorded import fresh_path, given_runs, policy_of, recorded
from tts_study.runs.run import run_spec, searching
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Run
from tts_study.strategies import SEARCHES, Method, Search, find
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import Rule, check_list, check_whole

BOUND: Rule = "pass"  # pass@n in an experiment: what a perfect verifier would pick from the same completions

T = TypeVar("T")


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
        n_problems: int | None = None, runs: str | Sequence[str | Path] = "", **settings: Any,
    ) -> None:  # fmt: skip
        """Note the settings; nothing is loaded yet.

        Args:
            profile: a profile's name.
            profile_options: fields of the profile as one text, "temperature=0.7 max_tokens=512"; `settings` go first.
            seed: of every random draw.
            fresh: search with real engines, or resume such a search, instead of replaying a recorded run.
            n_problems: the number of problems, from the data set's first on; all if None.
            runs: folders or files of runs, as one text with spaces between or as a list, that are replayed before the
                recorded ones; problems are then those that all of them have, and the policy theirs.
            settings: fields of the profile, such as `policy="3b"`, and options of searches, such as `beam_width=8`.
                Those that are None are ignored.

        Raises:
            UserError: there is no such profile or setting, or a value is invalid.
        """
        _check_asked(seed, fresh, n_problems)
        typeset_nothing()
        self._given = given_runs(runs) if runs else ()
        if self._given and fresh:
            raise UserError("runs are replayed, and fresh = True searches: give one of the two")
        settings = {name: value for name, value in settings.items() if value is not None}
        known = {field.name for field in fields(Profile)}
        every = {name for search in SEARCHES.values() for name in search.defaults}
        self._options = {name: value for name, value in settings.items() if name in every - known}
        others = {name: value for name, value in settings.items() if name not in self._options}
        self.profile = load_profile(profile, profile_options, **others)
        if self._given and "policy" not in {**others, **read_options(profile_options)}:
            self.profile = load_profile(self.profile, policy=policy_of(self._given, self.profile.policies))
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
        """The problems that are asked; of given runs, those that all of them have.

        Raises:
            UserError: there is no such data set, or it has no such problems.
        """
        if not self._given:
            return load_problems(self.profile, self._n_problems)
        there = [set(store.load(path).problems) for path, _ in self._given]
        both = [problem for problem in load_problems(self.profile) if all(problem in each for each in there)]
        if not both:
            raise UserError(f"the given runs and {self.profile.dataset} have no problem in common: name their data set")
        return tuple(both[: self._n_problems])

    def problem(self, place: int) -> Problem:
        """One of the problems, by its place from 0.

        Raises:
            UserError: there is none.
        """
        check_whole("problem", place)
        if not 0 <= place < len(self.problems):
            last = len(self.problems) - 1
            raise UserError(f"problem must be from 0 to {last}, and {place} is not: n_problems sets their number")
        return self.problems[place]

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

    def run_if_recorded(self, method: str | Method, n: int = 1, **options: Any) -> MethodRun | None:
        """As `run`; where nothing is recorded, that is printed, and None returned."""
        try:
            return self.run(method, n, **options)
        except NotRecorded as error:
            print(f"Left out: {error}")
            return None

    def grid(
        self, methods: Sequence[str | Method], ns: int | Sequence[int], *, needs: Sequence[str] = (), **options: Any
    ) -> Experiment:
        """Several methods at several budgets, from as few runs as contain them.

        A replay leaves out what is not recorded: `Experiment.left_out`.

        Args:
            methods: cheap ones first: of equally good ones the first is chosen. "pass" adds the upper bound pass@n.
            ns: the budgets, or the largest of 1, 2, 4 …; greedy decoding has 1 in any case, and a search leaves out
                those it cannot spend.
            needs: methods that must be recorded at one budget at least.
            options: options of searches, in place of the study's.

        Raises:
            NotRecorded: nothing is, or nothing of a method that is needed.
            UserError: as `run`; a method can spend none of the budgets; there are fewer than two problems.
        """
        if len(self.problems) < 2:
            raise UserError("an interval over problems needs two of them or more: n_problems is 1")
        if isinstance(ns, str):
            raise UserError(f"n must be a whole number, or ns a list such as [4, 16, 64], and {ns!r:.40} is a text")
        ns = powers_of_two(check_whole("n", ns)) if isinstance(ns, Integral) else check_list("ns", ns)
        wanted = [_bound() if method == BOUND else find(method) for method in methods]
        runs: dict[tuple[str, int], Run] = {}
        graded: dict[tuple[str, int], Graded] = {}
        left_out: dict[tuple[str, int], NotRecorded] = {}
        parts = []
        for method in wanted:
            search = self._shared(method.search, wanted)
            spent = self._spent(search, ns, options)
            # the largest that is recorded contains the others, unless each has a run of its own
            own = search.smaller_n == "own run"
            for n in spent if own else reversed(spent):
                key = search.name, n
                if key in left_out:
                    continue
                try:
                    runs[key] = runs.get(key) or self._run(search, n, options)
                except NotRecorded as error:
                    left_out[key] = error
                    continue
                graded[key] = graded.get(key) or grade(runs[key].problems, runs[key].results)
                read = (n,) if own else tuple(each for each in spent if each <= n)
                parts.append(Part(method.name, runs[key], graded[key], method.rule, read))
                if not own:
                    break
        found = {part.strategy for part in parts}
        missing = [method for name in needs if (method := find(name)).name not in found]
        without = {name for method in missing for name in (method.search.name, *method.search.contained_in)}
        for (name, _), reason in left_out.items():
            if name in without or not parts:
                raise reason
        reasons = {key: str(reason) for key, reason in left_out.items()}
        return Experiment(runs, graded, build(parts, aggregation=self.aggregation, seed=self.seed), reasons)

    def greedy_by_policy(self) -> Ladder[MethodRun]:
        """Greedy decoding by every policy of the profile's ladder that can run here or is recorded; maybe by none."""
        return self._by_policy(lambda study: study.run("greedy"))

    def by_policy(self, ask: Callable[["Study"], T]) -> Ladder[T]:
        """Ask the same of every policy of the profile's ladder, and of the study's own if it is another one.

        Args:
            ask: what to ask; it is given a study like this one, by another policy.

        Returns:
            What was found, and the reason for each policy that this machine has no room for.

        Raises:
            EngineUnavailable: it has room for none of them.
            NotRecorded: nothing is recorded for any of them.
            UserError: as `run`.
        """
        return self._by_policy(ask).check()

    def _by_policy(self, ask: Callable[["Study"], T]) -> Ladder[T]:
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
            except NotRecorded:
                left_out[name] = "not recorded"
        return Ladder(found.items(), left_out.items())

    def by_seed(self, methods: Sequence[str | Method], n: int, seeds: Sequence[int]) -> list[Experiment]:
        """`grid` at one n for several seeds; those for which nothing is recorded are left out, which is printed."""
        found = []
        for seed in check_list("seeds", seeds):
            study = copy(self)
            study.seed = seed
            try:
                found.append(study.grid(methods, [n]))
            except NotRecorded:
                print(f"left out: seed {seed}, for which nothing is recorded at n = {n} (fresh = True searches it)")
        return found

    def solve(self, text: str, method: str | Method = "best_of_n", n: int = 16, **options: Any) -> Solution:
        """Answer one question, with real engines.

        Raises:
            UserError: there is no such method or option, or it cannot spend `n`; or the question is too long or is not
                readable text.
        """
        try:
            text.encode()
        except UnicodeEncodeError:  # typed in a shell as bytes that are no UTF-8: no tokenizer reads it
            raise UserError(f"the question is not UTF-8 text: {text!a:.60} has half a character, repair it") from None
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
        return wait(run_spec(spec, path=fresh_path(spec))) if self.fresh else recorded(spec, self._given)

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
                f"{search.name} can use none of n = {list(ns)}: give a multiple of its beam_width, {width}"
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
