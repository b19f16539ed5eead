"""Collect the results of many problems in one run file, wherever the problems are solved.

A solver answers one problem at a time, many at once: the engines of this process (`runs`), or workers on a cluster
(`cluster`). A result is stored as soon as its problem is done, so that an interrupted run resumes where it was.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tts_study.errors import RunStopped, UserError
from tts_study.records import Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.attempts import tried
from tts_study.runs.progress import Progress
from tts_study.runs.store import Header, Run


class Solver(Protocol):
    """Something that searches a problem."""

    @property
    def sampler(self) -> str:
        """What draws the samples; known once it is started."""
        ...

    async def start(self) -> None:
        """Get ready; not called where nothing is left to do."""
        ...

    async def solve(self, problem: Problem) -> SearchResult:
        """Search one problem."""
        ...


async def collect(
    problems: Sequence[Problem],
    solver: Solver,
    *,
    path: Path,
    header: Header,
    title: str,
    concurrency: int,
    workers: int = 1,
    progress: bool = True,
) -> Run:
    """Solve problems, up to `concurrency` of them at once, adding to the run stored in `path`.

    Problems that are stored already are not searched again. A problem that fails does not stop the others; one
    at which an engine was lost is tried again alone, and with several `workers` as many of those at once.

    Raises:
        UserError: `path` contains another run, or one by another sampler; or problems failed (the rest is stored).
        RunStopped: a problem failed in a way that ends the run at once.
    """

    async def solve(problem: Problem, writer: store.Writer, bar: Progress) -> Exception | None:
        try:
            result = await solver.solve(problem)
            # laps of one clock add up to the time of the whole run, whatever is searched at once, and if it is resumed
            writer.append(problem, result, bar.lap())
        except RunStopped as error:
            raise RunStopped(f"the run stopped at problem {problem.id}: {error} It is kept in {path}.") from None
        except Exception as error:  # the others are searched all the same
            return error
        bar.add(result.cost.generated)
        return None

    with store.writing(path, header) as writer:
        stored = store.load(path)
        _check_problems(path, stored, problems)
        done = set(stored.problems)
        todo = [problem for problem in problems if problem not in done]
        if todo:
            with Progress(title, len(problems), len(problems) - len(todo), progress) as bar:
                await solver.start()
                writer.drawn_by(solver.sampler)
                bar.start_clock()
                outcomes = await tried(todo, lambda problem: solve(problem, writer, bar), concurrency, workers)
            _raise_failures(path, todo, outcomes)
    return store.load(path).of(problems)


def _check_problems(path: Path, stored: Run, problems: Sequence[Problem]) -> None:
    """Make sure that no stored problem differs from the one asked: it would be searched again, and be there twice."""
    asked = {problem.id: problem for problem in problems}
    pinned = "dataset" in stored.header  # then the header says which problems there are
    for problem in stored.problems:
        if problem != asked.get(problem.id, None if pinned else problem):
            raise UserError(
                f"{path} contains problem {problem.id!r:.60}, which differs in the data set: the file was "
                "damaged or edited; delete its line, or write to another folder"
            )


def _raise_failures(path: Path, problems: Sequence[Problem], outcomes: Sequence[Exception | None]) -> None:
    failed = [(problem, error) for problem, error in zip(problems, outcomes, strict=True) if error]
    for _, error in failed:
        if not isinstance(error, UserError):  # a bug of this package: its traceback is needed
            raise error
    if failed:
        problem, error = failed[0]
        raise UserError(
            f"{len(failed)} of {len(problems)} problems failed, problem {problem.id} first: {error} "
            f"The others' results are kept in {path}."
        )
