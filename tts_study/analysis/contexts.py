"""How many tokens of context a search's tokens attend to: what the FLOPs of attention follow from.

A token attends to all tokens before it and to itself. A run does not record this, and it follows from the tokens that
the run does record:

- what the policy generated: exactly, from the lengths of the steps in the tree, or of the samples. The prompt's length
  is what all requests read, less the steps that they continue, for each request.
- what the policy computed of its prompts: as if each request had computed an equal share, at the end of its prefix.
- what the PRM scored: as if its tokens lay where the generated ones lie, since it reads the same texts.
"""

from dataclasses import dataclass

from tts_study.records import SearchResult


@dataclass(frozen=True)
class Contexts:
    """The mean contexts of one problem's tokens.

    Attributes:
        generated: tokens that a generated token attends to, itself included, on average.
        prefix: tokens of the prompt and of the steps before it that a request continues, on average.
        requests: how many requests there were, each with one continuation.
    """

    generated: float
    prefix: float
    requests: int

    def of_prompts(self, computed: float, requests: float) -> float:
        """Tokens attended to in all by `computed` prompt tokens, the last ones of each of `requests` prefixes."""
        return computed * (self.prefix - (computed / requests - 1) / 2) if computed else 0.0


def contexts(result: SearchResult) -> Contexts:
    """The mean contexts of a search's tokens."""
    asked = _requests(result) or [(0, 0)]
    generated = sum(tokens for _, tokens in asked)
    steps_before = sum(before for before, _ in asked) / len(asked)
    prefix = max((result.cost.prompt + result.cost.prompt_cached) / len(asked), steps_before)
    prompt = prefix - steps_before
    attended = sum(tokens * (prompt + before) + tokens * (tokens + 1) / 2 for before, tokens in asked)
    return Contexts(attended / max(generated, 1), prefix, len(asked))


def _requests(result: SearchResult) -> list[tuple[int, int]]:
    """Each request's tokens after the prompt: those that it continues, and those that it generates."""
    if not result.tree:
        return [(0, completion.tokens) for completion in result.completions]
    before: list[int] = []  # parents come before their children
    for node in result.tree:
        before.append(0 if node.parent is None else before[node.parent] + result.tree[node.parent].tokens)
    steps = [(start, node.tokens) for start, node in zip(before, result.tree, strict=True)]
    looks = [(start + node.tokens, node.ahead) for start, node in zip(before, result.tree, strict=True) if node.ahead]
    return steps + looks
