"""What a search costs: processed tokens → FLOPs, memory; and what n of a run's N completions would have cost.

FLOPs. A token that a model computes is multiplied by every weight of its body, an addition each: 2 FLOPs a weight
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1). The output head is one more such product for each token that is
*predicted*: all that the policy generates, no prompt token and nothing that the PRM scores (it reads one or two
logits; a policy that judges itself computes the head once a step, which is left out). The input embedding is a
look-up. Tokens from a prefix cache are not computed and cost none.

Attention multiplies a computed token's query with the key and then the value of each token before it, in each layer:
4 · layers · d_attn FLOPs for each token that is attended to (the same section). `contexts` says how many those are.
"""

import math
from collections import defaultdict
from dataclasses import fields

import numpy as np
from numpy.typing import ArrayLike

from tts_study.analysis.accuracy import Rule
from tts_study.analysis.contexts import contexts
from tts_study.analysis.estimators import pass_at_k
from tts_study.analysis.inference import Floats
from tts_study.engines.shapes import Shape
from tts_study.errors import UserError
from tts_study.records import Cost, SearchResult
from tts_study.runs.store import Run

COUNTED = tuple(field.name for field in fields(Cost))  # generated, prompt, prompt_cached, scored, scored_cached
# columns of arrays: those, and how many tokens of context all those computed attend to, in the policy and in the PRM
KINDS = (*COUNTED, "attended", "attended_by_prm")
WITHOUT_PRM = ("majority", "pass")  # rules that need no scores


def policy_flops(tokens_K: ArrayLike, shape: Shape) -> Floats:
    """FLOPs of the policy: its prompt is read, what it generates is both predicted and read.

    Args:
        tokens_K: tokens by the kinds of `KINDS`, along the last axis.
        shape: the policy's.
    """
    generated, prompt = _of("generated", tokens_K), _of("prompt", tokens_K)
    return 2 * shape.body * (generated + prompt) + 2 * shape.head * generated + _attention("attended", tokens_K, shape)


def prm_flops(tokens_K: ArrayLike, shape: Shape) -> Floats:
    """FLOPs of the PRM, which may be the policy: it reads what it scores. Arguments as of `policy_flops`."""
    return 2 * shape.body * _of("scored", tokens_K) + _attention("attended_by_prm", tokens_K, shape)


def tokens_at(run: Run, n: int, rule: Rule) -> Floats:
    """Tokens of each kind that `n` of a run's N completions take, per problem, as a mean over subsets: shape (P, K).

    At N it is what the run counted. Below:

    - a search (DVTS, by whole subtrees) costs n/N of everything.
    - independent samples take n/N of the generated tokens. Each has its own request, and so its own prompt; the
      first one is computed in full and each further one as far as the run's prefix cache did not supply it.
    - the PRM scores equal solutions once, and among fewer samples fewer are equal: the run's scored tokens are shared
      out over its distinct solutions by length, and each counts with its chance to be among the n.
    - picking by majority, or by knowing the answers, asks no PRM.

    Raises:
        UserError: `n` is not between 1 and N.
    """
    N = completions_of(run)
    if not 1 <= n <= N:
        raise UserError(f"n = {n} of {N} completions a problem: choose n between 1 and {N}, or run with a larger n")
    sampling = all(result.subtree == 1 for result in run.results)
    tokens_P_K = np.array([[getattr(result.cost, kind) for kind in COUNTED] for result in run.results], dtype=float)
    share_P_K = np.full_like(tokens_P_K, n / N)
    scored, cached = KINDS.index("scored"), KINDS.index("scored_cached")
    if sampling:
        judged = rule not in WITHOUT_PRM
        share_P = [_distinct_share(result, n) if judged else 0.0 for result in run.results]
        share_P_K[:, scored] = share_P_K[:, cached] = share_P
    at_P_K = tokens_P_K * share_P_K
    if sampling:
        _share_prompts(tokens_P_K, at_P_K, n, N)
    return np.hstack([at_P_K, [_attended(*each, n / N) for each in zip(run.results, at_P_K, strict=True)]])


def longest_context(run: Run) -> int:
    """Tokens of the longest completion of a sampling run with its prompt: the size that its KV cache needs."""
    prompts = [(result.cost.prompt + result.cost.prompt_cached) / completions_of(run) for result in run.results]
    longest = [max(completion.tokens for completion in result.completions) for result in run.results]
    return max(math.ceil(prompt + tokens) for prompt, tokens in zip(prompts, longest, strict=True))


def seconds_at(run: Run, n: int, rule: str = "best") -> float:
    """Wall-clock seconds a problem that `n` of the run's N completions take: n/N of the run's.

    A run searches many problems at once, so this is how long an engine that is kept busy takes, not how long one
    problem would alone; the engines' start is left out.

    Returns:
        The seconds; NaN if the run has none, or if a PRM took a part of them and `rule` is one that asks none.
    """
    if run.seconds is None or (rule in WITHOUT_PRM and "prm" in run.header):
        return float("nan")
    return run.seconds * n / completions_of(run)


def completions_of(run: Run) -> int:
    """N: how many completions each problem of the run has.

    Raises:
        UserError: there are no problems, or they have unequally many.
    """
    sizes = sorted({len(result.completions) for result in run.results})
    if len(sizes) != 1:
        raise UserError(f"a run's cost at n needs equally many completions for each problem, and it has {sizes}")
    return sizes[0]


def _attended(result: SearchResult, tokens_K: Floats, share: float) -> tuple[float, float]:
    """Tokens of context that the computed tokens of a problem attend to in all, in the policy and in the PRM.

    Args:
        result: the whole search's.
        tokens_K: the tokens of the kinds of `COUNTED` of which that is asked, a part of the search's.
        share: which part of its requests took them.
    """
    mean = contexts(result)
    generated, prompt, scored = (float(_of(kind, tokens_K)) for kind in ("generated", "prompt", "scored"))
    prompts = mean.of_prompts(prompt, share * mean.requests)
    return generated * mean.generated + prompts, scored * mean.generated


def _attention(kind: str, tokens_K: ArrayLike, shape: Shape) -> Floats:
    return 4 * shape.layers * shape.query_width * _of(kind, tokens_K)


def _of(kind: str, tokens_K: ArrayLike) -> Floats:
    return np.asarray(tokens_K, dtype=float)[..., KINDS.index(kind)]


def _share_prompts(tokens_P_K: Floats, at_P_K: Floats, n: int, N: int) -> None:
    """Fill in the prompt tokens of n of N samples: the first prompt is computed, the others as the run's cache hit."""
    computed, cached = KINDS.index("prompt"), KINDS.index("prompt_cached")
    prompt_P = (tokens_P_K[:, computed] + tokens_P_K[:, cached]) / N
    first_P = np.minimum(prompt_P, tokens_P_K[:, computed])
    further_P = (tokens_P_K[:, computed] - first_P) / max(N - 1, 1)
    at_P_K[:, computed] = first_P + (n - 1) * further_P
    at_P_K[:, cached] = n * prompt_P - at_P_K[:, computed]


def _distinct_share(result: SearchResult, n: int) -> float:
    """The expected part of all distinct solutions, by length, that is among `n` samples; 0 where none has a step."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, completion in enumerate(result.completions):
        if completion.steps:
            places[completion.steps].append(i)
    if not places:
        return 0.0
    there_D_N = np.zeros((len(places), len(result.completions)), dtype=bool)
    for row, samples in zip(there_D_N, places.values(), strict=True):
        row[samples] = True
    lengths_D = [result.completions[samples[0]].tokens for samples in places.values()]
    return float(np.average(pass_at_k(there_D_N, n), weights=lengths_D))
