"""Selection rules: from the completions of one problem to the answer that a strategy gives.

Completions come as the groups that `tts_study.answers.group` made of their answers: equal answers share a number,
and `NO_ANSWER` marks a completion without one, which is never a vote and never picked.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import comb

NO_ANSWER = -1


def majority(groups: Sequence[int]) -> int:
    """The answer given most often; a tie goes to the one that appeared first. `NO_ANSWER` if there is none.

    Source: Wang et al. 2022 (arXiv 2203.11171, self-consistency); the blog's "Majority voting".
    """
    return _heaviest((group, 1.0) for group in groups)


def best(groups: Sequence[int], scores: Sequence[float]) -> int:
    """The answer of the completion with the highest score (Best-of-N); a tie goes to the first completion.

    Source: the blog's "vanilla Best-of-N", over the completions that have an answer.
    """
    answered = [(score, group) for group, score in zip(groups, scores, strict=True) if group != NO_ANSWER]
    return max(answered, key=lambda pair: pair[0], default=(0.0, NO_ANSWER))[1]


def weighted(groups: Sequence[int], scores: Sequence[float]) -> int:
    """The answer whose completions' scores add up highest; a tie goes to the one that appeared first.

    Source: Li et al. 2023 (arXiv 2206.02336, DiVeRSe), equation 2; the blog's "Weighted Best-of-N".
    """
    return _heaviest(zip(groups, scores, strict=True))


def is_decided(groups: Sequence[int], confidence: float) -> bool:
    """Whether more completions would hardly change the most frequent answer; never without an answer.

    Source: Aggarwal et al. 2023 (arXiv 2305.11860), the Beta criterion over the two most frequent answers.
    """
    counts = Counter(group for group in groups if group != NO_ANSWER).most_common(2)
    first, second, *_ = (*(count for _, count in counts), 0, 0)
    return first > 0 and certainty(first, second) >= confidence


@lru_cache(maxsize=100_000)
def certainty(first: int, second: int) -> float:
    """P(x > 1/2) for x ~ Beta(first + 1, second + 1), which is P(y <= first) for y ~ Binomial(first + second + 1, 1/2).

    Args:
        first: how often the most frequent answer was given.
        second: how often the second was.
    """
    tosses = first + second + 1
    # the exact quotient of two whole numbers: no power of 2 overflows
    return sum(comb(tosses, k) for k in range(first + 1)) / 2**tosses


def _heaviest(votes: Iterable[tuple[int, float]]) -> int:
    totals: dict[int, float] = {}
    for group, weight in votes:
        if group != NO_ANSWER:
            totals[group] = totals.get(group, 0.0) + weight
    return max(totals, key=totals.__getitem__, default=NO_ANSWER)  # dicts keep order: the first of equals wins
