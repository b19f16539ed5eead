"""From the scores of a completion's steps to one score of the completion."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

Aggregation = Literal["last", "min", "prod"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def aggregate(step_scores: Sequence[float], aggregation: Aggregation) -> float:
    """Reduce step scores in [0, 1] to a score in [0, 1]; a completion without any step scores 0.

    The three ways of Snell et al. 2024 (arXiv 2408.03314, appendix E) and of the blog, which uses "last": the score
    of the last step, since a PRM that saw errors before has lowered it; "min", the weakest step; "prod", the
    probability that all steps are right if they were independent.
    """
    if not step_scores:
        return 0.0
    match aggregation:
        case "last":
            return step_scores[-1]
        case "min":
            return min(step_scores)
        case "prod":
            return math.prod(step_scores)
    raise ValueError(f"unknown aggregation {aggregation!r}: choose one of {', '.join(AGGREGATIONS)}")
