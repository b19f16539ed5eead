"""The project's engines and searches on vLLM's GPU runner; run by tests/engines/test_gpu_rehearsal.py, which compares.

Engines are built as for a GPU: from a profile, by the classes that a GPU uses. What is set besides is what makes them
fit two cores: no worker process (it would spin), no measuring of memory (so that all start side by side), and batches
that are smaller than a prompt, so that every prompt is prefilled in chunks.

    GPU_REHEARSAL=1 TRITON_INTERPRET=1 VLLM_USE_V2_MODEL_RUNNER=1 PYTHONPATH=tests/gpu_rehearsal \
      python tests/gpu_rehearsal/rehearse.py out.json
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tts_study.engines import ports, serving
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.vllm import VllmEngine
from tts_study.problems.load import load_problems
from tts_study.profiles import Profile, load_profile
from tts_study.records import Problem
from tts_study.runs.engines import Engines, policy_settings, prm_settings
from tts_study.runs.run import Search
from tts_study.runs.spec import arguments_of
from tts_study.strategies import find

STRATEGIES = ("best_of_n", "beam_search", "dvts")
N, SEED = 4, 3
BATCH = 8  # tokens: fewer than any prompt has
FITTING = {
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
    "max_num_batched_tokens": BATCH,
}


def small_profile() -> Profile:
    """The micro models as a GPU would run them, in float32: CPU and GPU runner are compared to 1e-3."""
    return load_profile(
        "micro", policy="8b", dataset_levels="1", dtype="float32", enforce_eager=True, block_size=32,
        max_num_seqs=BATCH, max_model_len=256, max_tokens=40, max_step_tokens=20, prm_burst=0.0,
    )  # fmt: skip


def some_problems(profile: Profile) -> tuple[Problem, ...]:
    """Two problems."""
    return load_problems(profile, 2)


async def main(out: Path) -> None:
    """Start everything, search, score, and write the results."""
    began = time.perf_counter()

    def note(what: str) -> None:
        print(f"{time.perf_counter() - began:6.1f} s: {what}", flush=True)

    args = VllmEngine.args
    VllmEngine.args = lambda self: args(self) | FITTING
    VllmEngine.starts_alone = False
    profile = small_profile()
    problems = some_problems(profile)
    policy, prm = VllmPolicy(policy_settings(profile)), VllmPRM(prm_settings(profile))
    services = [
        serving.policy_service(policy_settings(profile), "127.0.0.1", ports.free_port(), out.parent),
        serving.prm_service(prm_settings(profile), "127.0.0.1", ports.free_port(), out.parent),
    ]
    ready = [asyncio.Event() for _ in services]
    keepers = [serving.start([service], [event])[0] for service, event in zip(services, ready, strict=True)]
    try:
        serving_both = asyncio.gather(*(event.wait() for event in ready))
        await asyncio.gather(policy.start(), prm.start())
        note("engines up")
        found: dict[str, Any] = {"facts": facts(policy, prm, problems), "alone": {}, "crowded": {}}
        for name in STRATEGIES:
            search = searched(profile, name, policy, prm)
            found["alone"][name] = asdict(await search.solve(problems[0]))
            note(f"{name}, alone")
            found["crowded"][name] = asdict((await asyncio.gather(*map(search.solve, problems)))[0])
            note(f"{name}, beside another problem")
        found["signals"] = await signals(policy, problems[0])
        note("signals")
        found["scores"] = await scores(prm, problems[0], found["alone"]["best_of_n"])
        note("scores")
        await asyncio.wait({serving_both, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        for keeper in keepers:
            if keeper.done():
                keeper.result()
        note("servers up")
        shared, remote = Engines(), replace(profile, policy_url=services[0].url, prm_url=services[1].url)
        there = await shared.of(remote, needs_prm=True)
        found["remote"] = {"dvts": asdict(await searched(profile, "dvts", *there).solve(problems[0]))}
        found["facts"]["remote_sampler"] = there[0].sampler
        await shared.close()
        note("searched over servers")
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, policy.close(), prm.close(), return_exceptions=True)
    found["facts"]["loaded"] = sorted(name for name in sys.modules if name.startswith("tts_study.engines.cpu"))
    note("closed")
    out.write_text(json.dumps(found))


def searched(profile: Profile, name: str, policy: VllmPolicy, prm: VllmPRM) -> Search:
    """A search with a profile's options."""
    strategy = find(name).search
    return Search(strategy, policy, prm, N, SEED, arguments_of(strategy, profile, strategy.options({})))


def facts(policy: VllmPolicy, prm: VllmPRM, problems: tuple[Problem, ...]) -> dict[str, Any]:
    """How vLLM runs, as its own configuration says."""
    configs = [engine._llm.vllm_config for engine in (policy.engine, prm.engine)]
    return {
        "v2": [config.use_v2_model_runner for config in configs],
        "chunked": [config.scheduler_config.enable_chunked_prefill for config in configs],
        "batch": [config.scheduler_config.max_num_batched_tokens for config in configs],
        "logits_processors": [config.model_config.logits_processors for config in configs],
        "engines": [type(engine).__name__ for engine in (policy.engine, prm.engine)],
        "prompts": [len(policy.prompt(problem)) for problem in problems],
        "sampler": policy.sampler,
    }


async def signals(policy: VllmPolicy, problem: Problem) -> dict[str, Any]:
    """The same samples without and with the policy's signals."""
    keeps = VllmPolicy(replace(policy.settings, signals=True), policy.engine)
    asked = (each.complete(policy.prompt(problem), n=N, seed=SEED) for each in (policy, keeps))
    plain, kept = await asyncio.gather(*asked)
    return {
        "plain": [generation.token_ids for generation in plain.generations],
        "kept": [generation.token_ids for generation in kept.generations],
        "signals": [[asdict(signal) for signal in generation.signals] for generation in kept.generations],
    }


async def scores(prm: VllmPRM, problem: Problem, result: dict[str, Any]) -> dict[str, Any]:
    """The completions' steps scored whole, and one after the other from the cache."""
    solutions = sorted({tuple(completion["steps"]) for completion in result["completions"]})
    whole = await prm.score_solutions(problem, solutions)
    cached, from_cache = [], 0
    for steps in solutions:
        lasts = [await prm.score_last_steps(problem, [steps[:count]]) for count in range(1, len(steps) + 1)]
        cached.append([last.step_scores[0][0] for last in lasts])
        from_cache += sum(last.cost.scored_cached for last in lasts)
    return {"solutions": solutions, "whole": whole.step_scores, "cached": cached, "from_cache": from_cache}


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
