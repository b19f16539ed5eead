"""`tts-study prm-bench`: how well a PRM finds the first wrong step of a solution, on ProcessBench or on a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study.cli.numbers import positive
from tts_study.cli.profile import add_profile, profile_of
from tts_study.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from tts_study.analysis.first_errors import Judged


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `prm-bench`."""
    bench = commands.add_parser("prm-bench", help="how well a PRM finds the first wrong step (ProcessBench, or a file)")
    add_profile(bench)
    bench.add_argument("--problems", type=positive, help="how many solutions of each split; all if not given")
    bench.add_argument("--threshold", type=float, help="a step is wrong if its score is below this; 0.5 by default")
    bench.add_argument(
        "--threshold-from", metavar="SPLIT", help="in its place, the threshold with the highest F1 on this split"
    )
    bench.add_argument("--out", type=Path, required=True, help="folder of scores and tables; a run in it is resumed")
    bench.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from tts_study.analysis import first_errors
    from tts_study.engines.background import wait
    from tts_study.problems.labelled import PROCESSBENCH, load_labelled
    from tts_study.runs.engines import ENGINES
    from tts_study.runs.judging import judge
    from tts_study.runs.store import Run

    if arguments.threshold is not None and (arguments.threshold_from or not 0 < arguments.threshold < 1):
        raise UserError("--threshold must lie between 0 and 1, and cannot be combined with --threshold-from")
    profile = profile_of(arguments)
    dataset = arguments.dataset or PROCESSBENCH
    splits = [name.strip() for name in (arguments.dataset_split or "").split(",") if name.strip()]
    solutions = load_labelled(dataset, splits, arguments.problems)
    names = list(dict.fromkeys(solution.split for solution in solutions))
    if arguments.threshold_from not in (None, *names):
        raise UserError(f"there is no split {arguments.threshold_from!r}: choose one of {', '.join(names)}")

    async def scored() -> Run:
        try:
            return await judge(profile, solutions, dataset, path=arguments.out / "scores.jsonl")
        finally:
            await ENGINES.close()

    run = wait(scored(), goodbye=None)
    judged: dict[str, list[Judged]] = {name: [] for name in names}
    for solution, result in zip(solutions, run.results, strict=True):
        scores = result.completions[0].step_scores
        judged[solution.split].append(first_errors.Judged(solution.label, scores, solution.problem.text))
    threshold = arguments.threshold or first_errors.THRESHOLD
    if arguments.threshold_from:
        threshold = first_errors.best_threshold(judged[arguments.threshold_from])
    quality, places = first_errors.table(judged, threshold), first_errors.confusion(judged, threshold)
    quality.to_csv(arguments.out / "quality.csv", index=False)
    places.to_csv(arguments.out / "confusion.csv", index=False)
    judge_name = f"{profile.policy}, asked about steps," if profile.judges_itself else profile.prm
    print(f"{judge_name} on {dataset}: a step with a score below {threshold:g} is judged wrong\n")
    print(_in_percent(quality).to_string(index=False, na_rep="-"))
    print(f"\nwhere the first error is seen, in solutions:\n{places.to_string(index=False)}")
    print(
        "\non_wrong: the first wrong step is found exactly; on_right: no error is seen; f1: their harmonic mean, with "
        "its 95 % bootstrap interval; all in %. auroc and calibration_error: of the scores up to the first wrong step. "
        f"A step beyond the PRM's context scores 0. The scores and both tables are in {arguments.out}"
    )


def _in_percent(quality: "pd.DataFrame") -> "pd.DataFrame":
    shares = {name: quality[name].map("{:.1%}".format) for name in ("on_wrong", "on_right", "f1", "f1_low", "f1_high")}
    others = {name: quality[name].map("{:.3f}".format) for name in ("auroc", "calibration_error")}
    return quality.assign(**shares, **others).replace({"nan%": "-", "nan": "-"})
