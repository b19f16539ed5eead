"""The simulator's answers as Markdown tables: what `python -m benchmarks gpu_cost` prints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from benchmarks.gpu_cost.assumptions import Assumptions
from benchmarks.gpu_cost.peers import measured_rates, search_and_learn
from benchmarks.gpu_cost.simulator import Pair, Work, hours, recorded_work, study_work, wall_hours, work
from tts_study.engines.shapes import shape_of
from tts_study.profiles import PROFILES
from tts_study.runs.store import Run

LADDER = ("1b", "3b", "8b", "70b")
FLEETS = (1, 8, 64)  # GPUs
LARGER = 100  # times the size
SIZES = (24, 48, 80)  # GB of a GPU
FEWEST = 16  # sequences at once: with fewer, a GPU is mostly idle
SMALL_PRM = "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B"
ALIKE = {SMALL_PRM: "Qwen/Qwen2.5-Math-1.5B-Instruct"}  # but for its head of one output
FITTED = [
    *(("llama", policy, PROFILES["llama"].prm) for policy in LADDER),
    *(("qwen2.5", policy, PROFILES["qwen2.5"].prm) for policy in ("0.5b", "1.5b", "3b", "7b")),
    *(("qwen2.5", policy, SMALL_PRM) for policy in ("0.5b", "1.5b", "3b", "7b")),
]
Table = list[Sequence[str]]


def report(given: Assumptions, runs: Mapping[Path, Run]) -> str:
    """All tables, each under its title; with a forecast from each recorded run, if there are any."""
    pairs = ladder(given)
    titled = {
        "Assumptions": _assumptions(given),
        "Rates": _rates(pairs),
        "Rates against a measurement": measured_rates(given),
        "One problem": _problem(given),
        "One seed, GPU-hours": _seed(pairs, given),
        "The whole study": _study(pairs, given),
        "What fits one GPU": _fitting(given),
        "Against search-and-learn": search_and_learn(pairs["1b"], given),
        f"{LARGER} times the size": _larger(pairs, given),
    }
    if runs:
        titled["From recorded runs"] = _forecast(pairs, given, runs)
    return "\n\n".join(f"## {title}\n\n{markdown(table)}" for title, table in titled.items())


def ladder(given: Assumptions) -> dict[str, Pair]:
    """The llama profile's policies, each with its PRM."""
    profile = PROFILES["llama"]
    prm = shape_of(profile.prm)
    return {name: Pair(shape_of(profile.policies[name]), prm, given) for name in LADDER}


def markdown(table: Table) -> str:
    """A table whose first row is its head."""
    head, *rows = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def _assumptions(given: Assumptions) -> Table:
    rows = [(each.name, f"{getattr(given, each.name):g}", each.metadata["source"]) for each in fields(Assumptions)]
    return [("name", "value", "source"), *rows]


def _rates(pairs: Mapping[str, Pair]) -> Table:
    head = ("policy", "GPUs", "weights, GB", "batch", "generated/s", "read/s", "PRM reads/s", "a step, ms")
    return [head, *(
        (
            name, str(pair.gpus), f"{pair.policy.weight_bytes / 1e9:.1f} + {pair.prm.weight_bytes / 1e9:.1f}",
            f"{pair.batch:.0f}", f"{pair.decoded:,.0f}", f"{pair.read:,.0f}", f"{pair.scored:,.0f}",
            f"{1e3 * pair.step_seconds():.1f}",
        )
        for name, pair in pairs.items()
    )]  # fmt: skip


def _problem(given: Assumptions) -> Table:
    """Tokens of one problem, and the KV cache of all its sequences at full length."""
    head = ("strategy", "generated", "prompt read", "PRM reads", "rounds")
    return [head, *(_tokens(strategy, work(strategy, given.n, given)) for strategy in study_work(given))]


def _tokens(name: str, work: Work) -> Sequence[str]:
    return name, f"{work.generated:,.0f}", f"{work.read:,.0f}", f"{work.scored:,.0f}", f"{work.rounds:.0f}"


def _seed(pairs: Mapping[str, Pair], given: Assumptions) -> Table:
    works = study_work(given)
    head = ("policy", *works, "all", "of it the PRM", f"KV cache of n = {given.n:g}, GB")
    table: Table = [head]
    for name, pair in pairs.items():
        each = [hours(pair, strategy) for strategy in works.values()]
        judged = sum(work.scored for strategy in works.values() for work in strategy)
        share = pair.gpus * given.problems * judged / pair.scored / 3600 / sum(each)
        cache = given.n * pair.sequence_bytes() / 1e9
        table.append((name, *(f"{one:,.1f}" for one in each), f"{sum(each):,.1f}", f"{share:.0%}", f"{cache:.0f}"))
    return table


def totals(pairs: Mapping[str, Pair], given: Assumptions) -> dict[str, float]:
    """GPU-hours of all seeds, by policy."""
    every = [work for works in study_work(given).values() for work in works]
    return {name: given.seeds * hours(pair, every) for name, pair in pairs.items()}


def _study(pairs: Mapping[str, Pair], given: Assumptions) -> Table:
    total = totals(pairs, given)
    several = [(name, [name]) for name in pairs] + [("all", list(pairs))]
    head = ("policy", "GPU-hours", "USD", *(f"hours on {count} GPU{'s' * (count > 1)}" for count in FLEETS))
    return [head, *(
        (
            name, f"{sum(total[each] for each in part):,.0f}", f"{given.usd * sum(total[each] for each in part):,.0f}",
            *(_wall([pairs[each] for each in part], [total[each] for each in part], count) for count in FLEETS),
        )
        for name, part in several
    )]  # fmt: skip


def _fitting(given: Assumptions) -> Table:
    """Sequences for which one GPU has room besides the weights of a policy and a PRM."""
    table: Table = [("profile", "policy", "PRM", *(f"{size} GB" for size in SIZES))]
    for profile, policy, prm in FITTED:
        pairs = [_pair(PROFILES[profile].policies[policy], prm, replace(given, memory=size)) for size in SIZES]
        rooms = [pair.room(1) for pair in pairs]
        fits = [f"{room:,.0f}" if room >= FEWEST else "does not fit" for room in rooms]
        table.append((profile, policy, prm.partition("/")[2], *fits))
    return table


def _pair(policy: str, prm: str, given: Assumptions) -> Pair:
    return Pair(shape_of(policy), shape_of(ALIKE.get(prm, prm)), given)


def _wall(pairs: Sequence[Pair], total: Sequence[float], gpus: int) -> str:
    if any(pair.gpus > gpus for pair in pairs):
        return "does not fit"
    return f"{wall_hours(pairs, total, gpus):,.1f}"


def _larger(pairs: Mapping[str, Pair], given: Assumptions) -> Table:
    """What grows with the study, now and `LARGER` times as many problems."""
    total = sum(totals(pairs, given).values())
    every = [work for works in study_work(given).values() for work in works]
    searches = given.problems * given.seeds * len(pairs) * len(every)
    generated = given.problems * given.seeds * len(pairs) * sum(work.generated for work in every)
    driving = (searches * given.storing / 1e3 + generated / given.driver) / 3600
    largest = given.problems * max(work.generated for work in every) * given.text
    slowest = max(pair.slowest() for pair in pairs.values())
    rows = [
        ("GPU-hours", total, 0),
        ("USD", total * given.usd, 0),
        ("generated tokens, 10⁹", generated / 1e9, 1),
        ("problems searched", searches, 0),
        ("hours of the driver", driving, 1),
        ("all run files, GB", generated * given.text / 1e9, 0),
        ("the largest run file, GB, read whole to resume or to analyse", largest / 1e9, 2),
        ("GPUs that one driver keeps busy", total / driving, 0),
        ("seconds that the longest solution takes, whatever the GPUs", slowest * 3600, 0),
    ]
    constant = {rows[-1][0], rows[-2][0]}
    table: Table = [("", "the study", f"{LARGER} times the problems")]
    for name, value, digits in rows:
        many = value * (1 if name in constant else LARGER)
        table.append((name, f"{value:,.{digits}f}", f"{many:,.{digits}f}"))
    return table


def _forecast(pairs: Mapping[str, Pair], given: Assumptions, runs: Mapping[Path, Run]) -> Table:
    """The token counts of recorded runs, as they are and at `given.n`, and the GPU-hours that they make."""
    head = ("run", "generated", "prompt read", "PRM reads", "rounds", *(f"{name}, GPU-hours" for name in pairs))
    return [head, *(_run_row(path, recorded_work(run, given.n), pairs) for path, run in runs.items())]


def _run_row(path: Path, work: Work, pairs: Mapping[str, Pair]) -> Sequence[str]:
    each: Iterable[float] = (hours(pair, [work]) for pair in pairs.values())
    return *_tokens(path.name, work), *(f"{one:,.1f}" for one in each)
