"""Each family of PRMs on vLLM next to its reference implementation in transformers, on tiny random models.

`python tests/prm_families.py` prints the table. The references are written from the sources that the formats name:
search-and-learn and RLHFlow, the model cards of Math-Shepherd and Qwen2.5-Math-PRM, Skywork's inference repository, and
TRL's trainer. Tokenizers are the real ones where their packages are installed.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import family_tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
)

from tts_study.engines.prm import VllmPRM
from tts_study.engines.settings import PRMSettings
from tts_study.prompts.policy import LLAMA3_TEMPLATE
from tts_study.prompts.steps import split_steps
from tts_study.records import Problem

CONTEXT, BLOCK = 512, 32
PROBLEM = Problem(id="a", text="Start with 42, subtract 17, multiply by 3. What is the result?", answer="75")
STEPS = ("## Step 1: Subtract\n42 - 17 = 25.", "## Step 2: Multiply\n25 * 3 = 75, not 76.", "So it is $\\boxed{75}$.")
CASES = {
    "several steps": STEPS,
    "one step": STEPS[-1:],
    "an empty step": (STEPS[0], "", STEPS[2]),
    "a trailing separator": split_steps("\n\n".join(STEPS) + "\n\n"),
}
# a token up to which a step is judged, for each step, and the step's score
Reference = list[tuple[tuple[int, ...], float]]


@dataclass(frozen=True)
class Family:
    """A family of PRMs: how to make a tiny checkpoint, and what its scores should be."""

    name: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    build: Callable[[PreTrainedTokenizerFast, Path], None]
    reference: Callable[[Path, str, Sequence[str]], Reference]


@dataclass(frozen=True)
class Comparison:
    """What was measured: largest deviations from the reference, of whole solutions and of last steps."""

    name: str
    steps: int
    spread: float
    whole: float
    last: float
    cached: int
    scored: int


# --- checkpoints -----------------------------------------------------------------------------------------------------


def tiny(config: type[PreTrainedConfig], tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    return config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=CONTEXT, initializer_range=0.3, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def build_rlhflow(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    LlamaForCausalLM(tiny(LlamaConfig, tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(LLAMA3_TEMPLATE)


def build_math_shepherd(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    MistralForCausalLM(tiny(MistralConfig, tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def build_skywork(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    head = nn.Linear(64, 1)
    _save_qwen(tokenizer, folder, "Qwen2ForPrmModel", "v_head.summary.", head)


def build_qwen(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    _save_qwen(
        tokenizer, folder, "Qwen2ForProcessRewardModel", "score.", head,
        auto_map={
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
    )  # fmt: skip


def build_trl(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model = Qwen2ForTokenClassification(tiny(Qwen2Config, tokenizer))
    nn.init.normal_(model.score.bias)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _save_qwen(
    tokenizer: PreTrainedTokenizerFast, folder: Path, architecture: str, prefix: str, head: nn.Module, **extra: object
) -> None:
    model = Qwen2ForCausalLM(tiny(Qwen2Config, tokenizer))
    weights = model.state_dict() | {prefix + name: weight for name, weight in head.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.update({"architectures": [architecture], **extra})
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# --- references ------------------------------------------------------------------------------------------------------


@cache
def loaded(auto: Any, folder: Path) -> Any:
    return auto.from_pretrained(folder)


@torch.inference_mode()
def rlhflow_reference(folder: Path, problem: str, steps: Sequence[str]) -> Reference:
    """One chat for each step; its last three tokens are what predicts "+", the "+" itself, and the end of the turn."""
    tokenizer, model = loaded(AutoTokenizer, folder), loaded(AutoModelForCausalLM, folder)
    candidates = [tokenizer.encode(verdict)[-1] for verdict in "+-"]
    chat, scores = [], []
    for index, step in enumerate(steps):
        chat.append({"role": "user", "content": step if index else f"{problem} {step}"})
        chat.append({"role": "assistant", "content": "+"})
        token_ids = tokenizer.apply_chat_template(chat, return_dict=True, return_tensors="pt")["input_ids"]
        logits = model(token_ids).logits[0, -3, candidates]
        scores.append((tuple(token_ids[0, :-2].tolist()), logits.softmax(-1)[0].item()))
    return scores


@torch.inference_mode()
def math_shepherd_reference(folder: Path, problem: str, steps: Sequence[str]) -> Reference:
    tokenizer, model = loaded(AutoTokenizer, folder), loaded(AutoModelForCausalLM, folder)
    candidates = tokenizer.encode("+ -")[1:]
    tag = tokenizer.encode("ки")[-1]
    text = " ".join([problem, " ки\n".join(steps) + " ки"])
    token_ids = torch.tensor([tokenizer.encode(text)])
    scores = model(token_ids).logits[0][:, candidates].softmax(-1)[:, 0]
    return _at(token_ids[0], token_ids[0] == tag, scores)


@torch.inference_mode()
def skywork_reference(folder: Path, problem: str, steps: Sequence[str]) -> Reference:
    tokenizer, model = loaded(AutoTokenizer, folder), loaded(AutoModelForCausalLM, folder)
    weights = load_file(folder / "model.safetensors")
    line_end = tokenizer.encode("\n")[-1]
    token_ids = tokenizer.encode(f"{problem}\n")
    flags = [False] * len(token_ids)
    for step in steps:
        for line in step.split("\n"):
            token_ids += [*(tokenizer.encode(line) if line else []), line_end]
            flags += [False] * (len(token_ids) - len(flags))
        flags[-1] = True  # the reference judges every line; of a step of several, the last one counts
    hidden = model.model(torch.tensor([token_ids])).last_hidden_state[0]
    values = nn.functional.linear(hidden, weights["v_head.summary.weight"], weights["v_head.summary.bias"])
    return _at(torch.tensor(token_ids), torch.tensor(flags), values[:, 0].sigmoid())


@torch.inference_mode()
def qwen_reference(folder: Path, problem: str, steps: Sequence[str]) -> Reference:
    tokenizer, model = loaded(AutoTokenizer, folder), loaded(AutoModelForCausalLM, folder)
    weights = load_file(folder / "model.safetensors")
    messages = [
        {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    token_ids = torch.tensor([tokenizer.encode(text)])
    hidden = model.model(token_ids).last_hidden_state[0]
    hidden = nn.functional.linear(hidden, weights["score.0.weight"], weights["score.0.bias"]).relu()
    logits = nn.functional.linear(hidden, weights["score.2.weight"], weights["score.2.bias"])
    separator = tokenizer.encode("<extra_0>")[0]
    return _at(token_ids[0], token_ids[0] == separator, logits.softmax(-1)[:, 1])


@torch.inference_mode()
def trl_reference(folder: Path, problem: str, steps: Sequence[str]) -> Reference:
    tokenizer, model = loaded(AutoTokenizer, folder), loaded(AutoModelForTokenClassification, folder)
    separator = tokenizer.encode("\n", add_special_tokens=False)
    token_ids = tokenizer(problem, add_special_tokens=False)["input_ids"]
    flags = [False] * len(token_ids)
    for step in steps:
        ids = tokenizer(step, add_special_tokens=False)["input_ids"] + separator
        token_ids, flags = token_ids + ids, flags + [False] * (len(ids) - 1) + [True]
    scores = model(torch.tensor([token_ids])).logits[0].softmax(-1)[:, 1]
    return _at(torch.tensor(token_ids), torch.tensor(flags), scores)


def _at(token_ids: torch.Tensor, flags: torch.Tensor, scores: torch.Tensor) -> Reference:
    positions = flags.nonzero()[:, 0].tolist()
    return [(tuple(token_ids[: position + 1].tolist()), scores[position].item()) for position in positions]


# --- the comparison --------------------------------------------------------------------------------------------------

FAMILIES = (
    Family("rlhflow", family_tokenizers.llama3, build_rlhflow, rlhflow_reference),
    Family("math-shepherd", family_tokenizers.mistral, build_math_shepherd, math_shepherd_reference),
    Family("skywork", family_tokenizers.qwen, build_skywork, skywork_reference),
    Family("qwen", family_tokenizers.qwen, build_qwen, qwen_reference),
    Family("trl", family_tokenizers.qwen, build_trl, trl_reference),
)


def plugin_installed() -> bool:
    """Does vLLM find this project's plugin? Not before the project is installed again."""
    return any(plugin.value.startswith("tts_study.") for plugin in entry_points(group="vllm.general_plugins"))


def checkpoint(family: Family, parent: Path) -> Path:
    """A random checkpoint, in a folder that is called as the published ones are."""
    folder = parent / {"rlhflow": "prm", "math-shepherd": "math-shepherd-mistral-7b-prm"}.get(family.name, "random")
    folder.mkdir()
    torch.manual_seed(0)
    family.build(family.tokenizer(), folder)
    return folder


def full(prm: VllmPRM) -> tuple[str, ...]:
    """Steps of which the last is judged at the context's last token."""
    steps = STEPS
    while len(prm.mark(PROBLEM, steps)[0]) < CONTEXT - 100:
        steps = (*steps, "3 * 4 = 12.")
    longer = ((*steps, " so" * words + end) for words in range(100) for end in ("", "!", "! 1"))
    return next(steps for steps in longer if len(prm.mark(PROBLEM, steps)[0]) == CONTEXT)


async def compare(family: Family, folder: Path) -> Comparison:
    """Score all cases both ways; token ids must be the same, and that a step ends beyond the context be seen."""
    settings = PRMSettings(
        model=str(folder), dtype="float32", max_model_len=CONTEXT, block_size=BLOCK, kv_cache_gib=0.1, max_num_seqs=32
    )
    async with VllmPRM(settings) as prm:
        assert prm.format.name == family.name
        cases = [*CASES.values(), full(prm)]
        wholes = (await prm.score_solutions(PROBLEM, cases)).step_scores
        beyond = (await prm.score_solutions(PROBLEM, [(*cases[-1], "2")])).step_scores[0]
        assert beyond[-1] == 0 and len(beyond) == len(wholes[-1]) + 1
        whole = last = 0.0
        cached = scored = 0
        every: list[float] = []
        for steps, scores in zip(cases, wholes, strict=True):
            contexts, expected = zip(*family.reference(folder, PROBLEM.text, steps), strict=True)
            token_ids, positions = prm.mark(PROBLEM, steps)
            assert [token_ids[: position + 1] for position in positions] == list(contexts)
            whole = max(whole, *(abs(ours - theirs) for ours, theirs in zip(scores, expected, strict=True)))
            for count, theirs in enumerate(expected, 1):  # as a search does: a step more each time
                reply = await prm.score_last_steps(PROBLEM, [steps[:count]])
                last = max(last, abs(reply.step_scores[0][0] - theirs))
                cached, scored = cached + reply.cost.scored_cached, scored + reply.cost.scored
            every += scores
    return Comparison(family.name, len(every), max(every) - min(every), whole, last, cached, scored)


def main() -> None:
    """Print the table."""
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    print(
        "| family | steps compared | range of scores | largest deviation | of last steps, from the cache "
        "| tokens computed, cached |"
    )
    print("|---|---|---|---|---|---|")
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as parent:
            c = asyncio.run(compare(family, checkpoint(family, Path(parent))))
        print(
            f"| `{c.name}` | {c.steps} | {c.spread:.2f} | {c.whole:.1e} | {c.last:.1e} | {c.scored:,}, {c.cached:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
