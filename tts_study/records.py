"""The data types of the study: problems, completions, search results and their cost."""

from dataclasses import dataclass
from typing import Literal

# why a generation ended: at a step separator, by the model's own end, or at a token limit
Stop = Literal["step", "end", "length"]
# what happened to a step that a search sampled: expanded, ended by the model itself, ended by a limit (of tokens or
# steps), dropped for its low value, or dropped because it has the same text as another
Fate = Literal["kept", "finished", "cut", "pruned", "duplicate"]
# what draws samples: vLLM by a request's seed, or on a CPU the noise of `engines.cpu.noise`
VLLM_SAMPLER, OWN_SAMPLER = "vllm", "gumbel-hash"


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
    """Tokens that were processed, added up over the whole search, pruned branches included.

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
class Signal:
    """How sure a policy was of a step that it sampled: sums over the step's tokens, at temperature 1.

    Attributes:
        tokens: how many.
        logprob: the log-probabilities of the tokens, added up.
        confidence: the confidence at each token, added up: minus the mean log-probability of the `TOP` likeliest tokens
            there (Fu et al. 2025, arXiv 2508.15260, equation 2). Large where one token is nearly certain.
    """

    tokens: int
    logprob: float
    confidence: float


TOP = 20  # tokens that a confidence is the mean over: as many as vLLM and its servers report by default


@dataclass(frozen=True)
class Generation:
    """One sampled continuation of a prefix.

    Attributes:
        token_ids: what was sampled, the separator or end token included: prefix + token_ids is the next prefix.
        text: the same, decoded, special tokens left out; without the thought.
        stop: why it ended.
        thought: what a thinking model wrote before its solution.
        signals: how sure the policy was of each step of the text, where that was asked; without the thought.
    """

    token_ids: tuple[int, ...]
    text: str
    stop: Stop
    thought: str = ""
    signals: tuple[Signal, ...] = ()


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
        leaf: the node of the search's tree that it ends at; None where there is no tree.
        thought: what a thinking model wrote before its first step; no part of the answer.
        signals: how sure the policy was of each step; empty where that was not asked.
    """

    steps: tuple[str, ...]
    tokens: int
    finished: bool
    step_scores: tuple[float, ...] = ()
    leaf: int | None = None
    thought: str = ""
    signals: tuple[Signal, ...] = ()

    @property
    def text(self) -> str:
        """The attempt as one text."""
        return "\n\n".join(self.steps)


@dataclass(frozen=True)
class Node:
    """One sampled step in the tree of a search.

    Attributes:
        parent: the number of the node that it continues; None where it continues the problem itself.
        text: the step, or a thinking model's thought; "" where the model wrote only a separator or its end token.
        tokens: how many tokens the policy generated for it.
        score: the PRM's score of the step, in [0, 1]; None for an empty step or a thought. A duplicate has its twin's.
        value: what it was ranked by, the aggregated scores of the solution up to it or to the end of the lookahead.
        fate: what happened to it.
        twin: the node that a duplicate repeats; None for all others.
        ahead: how many tokens were generated to look ahead from it.
    """

    parent: int | None
    text: str
    tokens: int
    score: float | None
    value: float
    fate: Fate
    twin: int | None = None
    ahead: int = 0


@dataclass(frozen=True)
class SearchResult:
    """What a strategy found for one problem, and what all of it cost.

    Attributes:
        problem_id: the problem's.
        completions: its completions, in the order drawn, or in a search's own order.
        cost: of everything, pruned branches included.
        tree: every step that a search sampled, parents before children; empty where nothing was searched.
        subtree: completions that depend on each other form groups of this size: 1 for independent samples.
    """

    problem_id: str
    completions: tuple[Completion, ...]
    cost: Cost
    tree: tuple[Node, ...] = ()
    subtree: int = 1
