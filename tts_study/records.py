"""What flows through the study: a problem goes in, a search result with its completions and its cost comes out."""

from dataclasses import dataclass
from typing import Literal

# why a generation ended: at a step separator, by the model's own end, or at a token limit
Stop = Literal["step", "end", "length"]


@dataclass(frozen=True)
class Problem:
    """One problem of a data set, in MATH-500's terms.

    Attributes:
        id: unique within the data set; two problems with the same text are still two problems.
        text: what the policy is asked.
        answer: the gold answer.
        level: difficulty as the data set states it, 1 (easiest) upwards, if it does.
        subject: topic as the data set states it, if it does.
        solution: a worked solution, or "" where the data set has none.
    """

    id: str
    text: str
    answer: str
    level: int | None = None
    subject: str | None = None
    solution: str = ""


@dataclass(frozen=True)
class Cost:
    """Tokens that were really processed, added up over everything a search did, pruned branches included.

    Attributes:
        generated: tokens sampled by the policy.
        prompt: prompt tokens that the policy computed (cached ones not counted).
        prompt_cached: prompt tokens that the policy's prefix cache supplied.
        scored: tokens that the PRM computed.
        scored_cached: tokens that the PRM's prefix cache supplied.
    """

    generated: int = 0
    prompt: int = 0
    prompt_cached: int = 0
    scored: int = 0
    scored_cached: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.generated + other.generated,
            self.prompt + other.prompt,
            self.prompt_cached + other.prompt_cached,
            self.scored + other.scored,
            self.scored_cached + other.scored_cached,
        )


@dataclass(frozen=True)
class Generation:
    """One sampled continuation of a prefix.

    Attributes:
        token_ids: what was sampled, the separator or end token included: prefix + token_ids is the next prefix.
        text: the same, decoded, special tokens left out.
        stop: why it ended.
    """

    token_ids: tuple[int, ...]
    text: str
    stop: Stop


@dataclass(frozen=True)
class Sampled:
    """The policy's reply to one request: `n` continuations of one prefix, and what they cost."""

    generations: tuple[Generation, ...]
    cost: Cost


@dataclass(frozen=True)
class Scored:
    """The PRM's reply: for each solution asked about, its step scores in [0, 1] (or the last one's), and the cost."""

    step_scores: tuple[tuple[float, ...], ...]
    cost: Cost


@dataclass(frozen=True)
class Completion:
    """One full attempt at a problem.

    Attributes:
        steps: its steps in order, separators removed; never an empty step.
        tokens: how many tokens the policy generated for it.
        finished: the model ended it itself; false where a limit cut it.
        step_scores: the PRM's score of each step, in [0, 1]; empty where no PRM was asked.
    """

    steps: tuple[str, ...]
    tokens: int
    finished: bool
    step_scores: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The attempt as one text."""
        return "\n\n".join(self.steps)


@dataclass(frozen=True)
class SearchResult:
    """What a strategy found for one problem: its completions (in the order drawn) and what all of it cost."""

    problem_id: str
    completions: tuple[Completion, ...]
    cost: Cost
