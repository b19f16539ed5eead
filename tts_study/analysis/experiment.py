"""What a study finds: a method at some n, and several methods at several budgets, with what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from tts_study.analysis import cost
from tts_study.analysis.accuracy import accuracy_P
from tts_study.analysis.grading import Graded
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import Floats, Interval, bootstrap
from tts_study.errors import UserError
from tts_study.records import Cost, Problem, SearchResult
from tts_study.runs.store import Run
from tts_study.strategies import Method
from tts_study.strategies.aggregation import Aggregation


@dataclass(frozen=True, eq=False)
class MethodRun:
    """A method at some n, taken from a run that contains it.

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

    def at(self, problem: int) -> tuple[Problem, SearchResult]:
        """A problem and its first n completions, with what they cost (where the run is of a larger n: on average).

        Args:
            problem: its place among the run's problems, from 0.
        """
        asked, found = self.problems[problem], self.results[problem]
        if self.n == len(found.completions):
            return asked, found
        tokens = cost.tokens_at(self.run, self.n, self.method.rule)[problem]
        spent = Cost(*(round(float(kind)) for kind in tokens[: len(cost.COUNTED)]))
        return asked, replace(found, completions=found.completions[: self.n], cost=spent)

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
        left_out: the reason for each search and n that is not recorded.
    """

    runs: Mapping[tuple[str, int], Run]
    graded: Mapping[tuple[str, int], Graded]
    grid: Grid
    left_out: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def note(self) -> str:
        """What is not recorded, as the rest of a sentence: "; not recorded: beam_search at n = 8"; else empty."""
        budgets: dict[str, list[int]] = {}
        for search, n in sorted(self.left_out):
            budgets.setdefault(search, []).append(n)
        named = [f"{search} at n = {', '.join(map(str, ns))}" for search, ns in budgets.items()]
        return f"; not recorded, and left out: {'; '.join(named)} (fresh = True searches them)" if named else ""

    def ns_of(self, search: str) -> list[int]:
        """The budgets of a search's runs."""
        return sorted(n for name, n in self.runs if name == search)

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
