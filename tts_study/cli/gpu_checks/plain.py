"""Plain vLLM, for comparison: the same model and settings, and the least work that a search's tokens take.

The floor of a search is what plain vLLM takes for as many tokens as it generated, all requests at once so that every
batch is full, and then for one pass over each token that the PRM had to read.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from tts_study.engines.settings import EngineSettings, PolicySettings
from tts_study.engines.vllm import local_engine
from tts_study.records import SearchResult

if TYPE_CHECKING:
    from vllm import LLM, TokensPrompt


def lengths_of(prompt: tuple[int, ...], result: SearchResult) -> list[tuple[tuple[int, ...], int]]:
    """Requests of the floor: each completion's own tokens if they are all, else equal parts of all tokens."""
    requests = len(result.completions)
    own = [completion.tokens for completion in result.completions]
    share, left = divmod(result.cost.generated, requests)
    lengths = own if sum(own) == result.cost.generated else [share + (i < left) for i in range(requests)]
    return [(prompt, length) for length in lengths if length]


def packed(texts: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All tokens of a prefix tree of texts, each once, in texts that are as long as the longest of them."""
    if not texts:
        return []
    ordered = sorted(texts)  # a text follows the one that it has most in common with
    new = list(ordered[0])
    for before, text in zip(ordered, ordered[1:], strict=False):
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, text, strict=False)))
        new += text[common:]
    longest = max(map(len, texts))
    return [tuple(new[i : i + longest]) for i in range(0, len(new), longest)]


def plain_llm(settings: EngineSettings, **overrides: Any) -> "LLM":
    """Plain vLLM with the same model and settings; `overrides` are more of its `EngineArgs`."""
    args = local_engine(settings, lambda: overrides).args()
    from vllm import LLM

    return LLM(**args)


def generation(
    llm: "LLM", settings: PolicySettings, lengths: Sequence[tuple[tuple[int, ...], int]]
) -> Callable[[], object]:
    """The generation of as many tokens for each prompt as `lengths` says, ready to be timed."""
    from vllm import SamplingParams

    params = [
        SamplingParams(
            temperature=settings.temperature, top_p=settings.top_p, max_tokens=length, ignore_eos=True,
            detokenize=False,
        )
        for _, length in lengths
    ]  # fmt: skip
    return partial(llm.generate, tokens_prompts([prompt for prompt, _ in lengths]), params, use_tqdm=False)


def shut_down(llm: "LLM") -> None:
    """End its processes."""
    llm.llm_engine.engine_core.shutdown()


def tokens_prompts(prompts: Sequence[Sequence[int]]) -> list["TokensPrompt"]:
    """Token ids in the form that plain vLLM takes."""
    from vllm import TokensPrompt

    return [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
