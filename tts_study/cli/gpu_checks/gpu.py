"""Does the study work on this machine? Both engines of a profile, what they return, and how fast.

First the project's own engines, side by side in their shares: seeds, sampling, scoring, Best-of-N, beam search, DVTS.
Then, one after the other and alone, what they are compared with: plain vLLM for the policy and for the PRM, on as many
tokens, and transformers for the PRM's scores.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from tts_study.cli.gpu_checks import machine
from tts_study.cli.gpu_checks.compare import Measured, Texts, compare_scores, generate_plainly, score_plainly
from tts_study.cli.gpu_checks.plain import lengths_of, packed
from tts_study.cli.gpu_checks.report import Report, Verdict
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.profiles import Profile
from tts_study.records import Problem, SearchResult
from tts_study.runs.engines import policy_settings, prm_settings
from tts_study.runs.run import Search
from tts_study.runs.spec import arguments_of
from tts_study.strategies import find, tree

SEARCHES = ("best_of_n", "beam_search", "dvts")
# tokens a second that docs/scale.md assumes of one H100 (four for the 70b); a test compares them with its simulator
ASSUMED = {"1b": 31_095, "3b": 16_833, "8b": 11_520, "70b": 9_289}
MOST = {"best_of_n": 1.2, "beam_search": 1.6, "dvts": 1.6}  # times the floor, docs/speed.md


async def check(profile: Profile, problems: Sequence[Problem], report: Report, *, n: int, on_gpu: bool) -> None:
    """Make all checks, adding to the report.

    Args:
        profile: whose engines.
        problems: to search; the same for all checks.
        report: where to.
        n: completions of each problem; a multiple of 4.
        on_gpu: whether a GPU is to be used.
    """
    profile, found = profile.resolved(), machine.gpus()
    share = profile.policy_memory + profile.prm_memory
    report.add("driver", *machine.driver(found, on_gpu))
    report.add("memory", *machine.memory(found, on_gpu, share, profile.kv_cache_gib))
    report.add("software", *machine.software())
    if report.failed:
        report.add("engines", "not run", "fix what failed first")
        return
    measured = Measured()
    policy, prm = VllmPolicy(policy_settings(profile)), VllmPRM(prm_settings(profile))

    async def start() -> tuple[Verdict, str]:
        began = time.perf_counter()
        await asyncio.gather(policy.start(), prm.start())
        model = f"{profile.policy_model} and {profile.prm_model}"
        return "ok", f"{model} side by side in {time.perf_counter() - began:.0f} s, sampler {policy.sampler}"

    try:
        if not await report.run("engines", start):
            return
        await report.run("seeds", lambda: _seeds(policy, problems))
        await report.run("sampling and scoring", lambda: _sample_and_score(policy, prm, problems, n, measured))
        for name in SEARCHES:
            await report.run(name, partial(_search, name, profile, policy, prm, problems, n, measured))
        args = prm.engine_args()
    finally:
        await asyncio.gather(policy.close(), prm.close())
    await report.run("LLM.generate", lambda: asyncio.to_thread(generate_plainly, profile, measured))
    await report.run("LLM.encode", lambda: asyncio.to_thread(score_plainly, profile, args, measured))
    await report.run("PRM scores", lambda: asyncio.to_thread(compare_scores, profile, args, measured, on_gpu))
    _add_ratios(report, measured)
    await report.run("tokens a second", lambda: _rates(profile, measured, on_gpu))


async def _seeds(policy: VllmPolicy, problems: Sequence[Problem]) -> tuple[Verdict, str]:
    prompts = [policy.prompt(problem) for problem in problems]

    async def draw() -> list[tuple[int, ...]]:
        sampled = await policy.complete(prompts[0], n=4, seed=3)
        return [generation.token_ids for generation in sampled.generations]

    first, again = await draw(), await draw()
    crowd = (policy.complete(prompt, n=4, seed=seed) for prompt in prompts[1:] for seed in range(4))
    waiting = asyncio.gather(*crowd)
    beside = await draw()
    await waiting
    other = (await policy.complete(prompts[0], n=4, seed=4)).generations
    if first != again or len(set(first)) == 1 or [generation.token_ids for generation in other] == first:
        return "FAILED", "the same seed gave other samples, or another seed the same: results cannot be repeated"
    same = sum(a == b for a, b in zip(first, beside, strict=True))
    said = f"4 of 4 samples the same when drawn again alone, {same} of 4 beside {4 * len(problems) - 4} others"
    return ("ok" if same == 4 else "differs"), said + ("" if same == 4 else ": rounding depends on the batch")


async def _sample_and_score(
    policy: VllmPolicy, prm: VllmPRM, problems: Sequence[Problem], n: int, measured: Measured
) -> tuple[Verdict, str]:
    from tts_study.prompts.steps import split_steps

    await policy.complete(policy.prompt(problems[0]), n=n, seed=1)  # warms up
    began = time.perf_counter()
    samples = await asyncio.gather(*(policy.complete(policy.prompt(problem), n=n, seed=0) for problem in problems))
    sampling = time.perf_counter() - began
    solutions = [list(dict.fromkeys(split_steps(g.text) for g in each.generations)) for each in samples]
    began = time.perf_counter()
    scored = await asyncio.gather(*map(prm.score_solutions, problems, solutions))
    measured.seconds |= {"sampling": sampling, "scoring": time.perf_counter() - began}
    measured.generated = sum(each.cost.generated for each in samples)
    measured.lengths["sampling"] = [
        (policy.prompt(problem), len(g.token_ids))
        for problem, each in zip(problems, samples, strict=True)
        for g in each.generations
        if g.token_ids
    ]
    measured.texts["scoring"] = []
    for problem, steps_of, result in zip(problems, solutions, scored, strict=True):
        for steps, scores in zip(steps_of, result.step_scores, strict=True):
            if steps:
                token_ids, positions = prm.mark(problem, steps)
                text = token_ids[: positions[-1] + 1][: prm.settings.max_model_len]
                measured.texts["scoring"].append(text)
                measured.judged.append((text, tuple(p for p in positions if p < len(text)), scores))
    said = (
        f"{measured.generated:,} tokens in {sampling:.1f} s, then {len(measured.texts['scoring']):,} distinct "
        f"solutions in {measured.seconds['scoring']:.1f} s"
    )
    every = [score for _, _, scores in measured.judged for score in scores]
    good = every and all(0 <= score <= 1 for score in every)
    return ("ok", said) if good else ("FAILED", f"{said}: scores are missing, or not between 0 and 1")


async def _search(
    name: str, profile: Profile, policy: VllmPolicy, prm: VllmPRM, problems: Sequence[Problem], n: int,
    measured: Measured,
) -> tuple[Verdict, str]:  # fmt: skip
    strategy = find(name).search
    search = Search(strategy, policy, prm, n, 5, arguments_of(strategy, profile, strategy.options({})))
    for engine in (policy.engine, prm.engine):  # what was drawn before must not help
        await engine.forget()
    began = time.perf_counter()
    results = await asyncio.gather(*map(search.solve, problems))
    measured.seconds[name] = time.perf_counter() - began
    both = list(zip(problems, results, strict=True))
    measured.lengths[name] = [each for problem, found in both for each in lengths_of(policy.prompt(problem), found)]
    measured.texts[name] = [text for problem, found in both for text in packed(_read(prm, problem, found))]
    generated = sum(result.cost.generated for result in results)
    complete = all(len(result.completions) == n for result in results)
    said = f"{len(problems)} problems, n = {n}: {generated:,} tokens in {measured.seconds[name]:.1f} s"
    return ("ok", said) if complete else ("FAILED", f"{said}, but fewer than n completions")


def _read(prm: VllmPRM, problem: Problem, result: SearchResult) -> Texts:
    """What the PRM had to read of a problem's solutions, partial ones included."""
    leaves = [tree.completion(result.tree, leaf) for leaf in tree.leaves(result.tree)] or result.completions
    marked = (prm.mark(problem, steps) for steps in {leaf.steps for leaf in leaves} if steps)
    return [token_ids[: positions[-1] + 1][: prm.settings.max_model_len] for token_ids, positions in marked]


def _add_ratios(report: Report, measured: Measured) -> None:
    """Ours over plain vLLM: of sampling, of scoring, and of each search over its floor."""
    seconds = measured.seconds
    pairs = {
        "sampling over LLM.generate": ("sampling", ("sampling, generated plainly",), 1 / 0.85),
        "scoring over LLM.encode": ("scoring", ("scoring, scored plainly",), 1.2),
        **{f"{n} over its floor": (n, (f"{n}, generated plainly", f"{n}, scored plainly"), MOST[n]) for n in SEARCHES},
    }
    for name, (ours, plain, most) in pairs.items():
        if ours in seconds and all(each in seconds for each in plain):
            floor = sum(seconds[each] for each in plain)
            ratio = seconds[ours] / floor
            found = f"{seconds[ours]:.1f} s / {floor:.1f} s = {ratio:.2f} (at most {most:.2f})"
            report.add(name, "ok" if ratio <= most else "slow", found)
        else:
            report.add(name, "not run", "what it compares was not measured")


async def _rates(profile: Profile, measured: Measured, on_gpu: bool) -> tuple[Verdict, str]:
    rate = measured.generated / measured.seconds["sampling"]
    said = f"{rate:,.0f} generated a second"
    if not on_gpu or profile.policy not in ASSUMED:
        return "ok", said + (", nothing assumed of this policy" if on_gpu else ", on a CPU")
    assumed = ASSUMED[profile.policy]
    said += f"; docs/scale.md assumes {assumed:,} of {profile.policy} on H100s: {rate / assumed:.2f} times that"
    return ("ok" if rate > assumed / 2 else "slow"), said
