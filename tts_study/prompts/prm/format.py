"""What differs between families of process reward models (PRMs), independently of where the model runs.

A PRM reads a problem and the steps of a solution as one sequence of tokens, and says at one token of each step how
likely the step is to be right. Whatever its head, the engine is made to answer at each token with one probability,
P(right), or with two, P(wrong) and P(right): the last one is the score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tts_study.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Config = Mapping[str, Any]  # a checkpoint's config.json
Marked = tuple[tuple[int, ...], tuple[int, ...]]  # token ids, and the position in them at which each step is judged

# the sample that formats are checked with: digits, a full stop, a line's end and LaTeX at the ends of steps
SAMPLE = "Start with 2, add 3.", ("Step 1: 2+3=5.", "So it is $5$\n", r"\boxed{5}")


class Mark(Protocol):
    """How a family writes a solution as token ids."""

    def __call__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        problem: str,
        steps: Sequence[str],
        *,
        chat_template: str | None = None,
    ) -> Marked:
        """A solution as token ids, and where each of its steps is judged.

        Args:
            tokenizer: the PRM's.
            problem: the problem's text.
            steps: the solution's steps, at least one.
            chat_template: a Jinja template in place of the tokenizer's own; families without a chat ignore it.

        Returns:
            Token ids up to where the last step is judged, and one position per step. More steps only add tokens: what
            came before stays as it is, so that an engine's prefix cache can serve it.
        """
        ...


@dataclass(frozen=True)
class PRMFormat:
    """A family of PRMs.

    Attributes:
        name: what `prm_format` calls it.
        models: published checkpoints of it.
        recognises: whether a model is of this family, by its folder or hub name and its config.
        mark: how it writes a solution.
        check: makes sure that a tokenizer, with a template in place of its own, can express the format (`UserError`).
        engine_args: vLLM's `EngineArgs` that make its model answer with probabilities; plain enough for JSON.
    """

    name: str
    models: tuple[str, ...]
    recognises: Callable[[str, Config], bool]
    mark: Mark
    check: Callable[["PreTrainedTokenizerBase", str | None], None]
    engine_args: Callable[[Config], dict[str, Any]]


def architecture(config: Config) -> str:
    """The class of a checkpoint's model, such as "LlamaForCausalLM"; "" if its config does not say."""
    return next(iter(config.get("architectures") or ()), "")


def verdict_classifier(config: Config, bad: str, good: str) -> dict[str, Any]:
    """Load a causal model that answers with one of two tokens as a classifier with one output: P(good).

    Its only weight is the difference of the two tokens' output embeddings, so that the output's sigmoid is the softmax
    over the two tokens' logits.
    """
    return {
        "runner": "pooling",
        "hf_overrides": {
            "architectures": [architecture(config).replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": [bad, good],
            "method": "from_2_way_softmax",
        },
    }


def check_single(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[str], family: str) -> None:
    """Make sure that each of the tokens is in the vocabulary.

    Raises:
        UserError: one is not.
    """
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in tokens if token not in vocabulary]
    if missing:
        raise UserError(
            f"The PRM {tokenizer.name_or_path!r} has no token {missing[0]!r}, which the family {family!r} needs: "
            "choose another prm_format, or another PRM."
        )


def check_grows(mark: Mark, tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> None:
    """Make sure, on a sample, that more steps only add tokens.

    Raises:
        UserError: they change what came before.
    """
    problem, steps = SAMPLE
    token_ids, positions = mark(tokenizer, problem, steps, chat_template=chat_template)
    for count, position in enumerate(positions, 1):
        if mark(tokenizer, problem, steps[:count], chat_template=chat_template)[0] != token_ids[: position + 1]:
            raise unstable(tokenizer)


def unstable(tokenizer: "PreTrainedTokenizerBase") -> UserError:
    """The message about a template that writes a step differently once others follow it."""
    return UserError(
        f"The chat template of the PRM {tokenizer.name_or_path!r} does not keep earlier turns as they are, "
        "so a step's score has no fixed place in it: give another template."
    )
