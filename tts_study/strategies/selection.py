"""Selection rules: from the completions of one problem to the answer that a strategy gives.

Completions come as the groups that `tts_study.answers.group` made of their answers: equal answers share a number,
and `NO_ANSWER` marks a completion without one, which is never a vote and never picked.
"""

from collections.abc import Iterable, Sequence

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


def _heaviest(votes: Iterable[tuple[int, float]]) -> int:
    totals: dict[int, float] = {}
    for group, weight in votes:
        if group != NO_ANSWER:
            totals[group] = totals.get(group, 0.0) + weight
    return max(totals, key=totals.__getitem__, default=NO_ANSWER)  # dicts keep order: the first of equals wins
