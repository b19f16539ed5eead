"""An executor for vLLM that has no model: each token, and each score, is there at once.

All else is vLLM's: the engine's process with its scheduler and its prefix cache, and in the driver's process everything
that a request and its replies pass through. Solutions have the lengths that docs/scale.md assumes.
"""

import random
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import ModelRunnerOutput

STEPS, STEP = 10, 40  # of a solution: how many, of how many tokens
NAME = f"{__name__}.InstantExecutor"
# of vLLM's additional_config: token ids of words, of the separator and of the end, and the separators of a prompt
OPTION = "instant"
MEMORY = 2**30  # of the KV cache: more than any batch needs


@dataclass
class Row:
    """One request: its prompt's length, what of it came from the cache, how far it is, and where its step began."""

    prompt: int
    cached: int
    computed: int
    steps: int
    written: int
    pooled: bool


class InstantExecutor(Executor):
    """Replies to the scheduler: words, a separator after each step, and the end after the last."""

    def _init_executor(self) -> None:
        self._rows: dict[str, Row] = {}
        config = self.vllm_config.additional_config
        assert isinstance(config, dict)
        self._ids: dict[str, Any] = config[OPTION]
        self._rng = random.Random(0)

    def collective_rpc(
        self, method: Any, timeout: float | None = None, args: tuple = (), kwargs: Any = None, non_block: bool = False
    ) -> Any:
        """Nothing to call."""
        return [None]

    def get_kv_cache_specs(self) -> list[dict[str, Any]]:
        """One layer of a Llama's shape."""
        config, parallel = self.model_config, self.parallel_config
        spec = FullAttentionSpec(
            block_size=self.cache_config.block_size, num_kv_heads=config.get_num_kv_heads(parallel),
            head_size=config.get_head_size(), dtype=torch.bfloat16,
        )  # fmt: skip
        return [{"layer": spec}]

    def get_supported_kv_cache_layouts(self) -> list[list[str]]:
        """One."""
        return [["LBNHC"]]

    def determine_available_memory(self) -> list[int]:
        """Enough."""
        return [MEMORY]

    def compile_or_warm_up_model(self) -> None:
        """Nothing to warm up."""

    @property
    def supported_tasks(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What the model is for."""
        return ("token_classify",) if self.model_config.runner_type == "pooling" else ("generate",)

    def check_health(self) -> None:
        """Always healthy."""

    def shutdown(self) -> None:
        """Nothing to end."""

    def supports_draft_weight_updates(self) -> bool:
        """No."""
        return False

    def execute_model(self, scheduler_output: Any, non_block: bool = False) -> Any:  # type: ignore[override]
        """A token for each request whose prompt is read, or its scores."""
        output = self._reply(scheduler_output)
        if not non_block:
            return output
        future: Future[ModelRunnerOutput] = Future()
        future.set_result(output)
        return future

    def _reply(self, scheduled: Any) -> ModelRunnerOutput:
        for name in scheduled.finished_req_ids:
            self._rows.pop(name, None)
        for new in scheduled.scheduled_new_reqs:
            steps = new.prompt_token_ids.count(self._ids["separator"]) - self._ids["prompts"]
            pooled = new.pooling_params is not None
            start = new.num_computed_tokens
            self._rows[new.req_id] = Row(len(new.prompt_token_ids), start, start, steps, 0, pooled)
        tokens: list[list[int]] = []
        scores: list[torch.Tensor | None] = []
        for name, count in scheduled.num_scheduled_tokens.items():
            row = self._rows[name]
            row.computed += count
            ready = row.computed >= row.prompt
            tokens.append([self._token(row)] if ready and not row.pooled else [])
            scores.append(torch.rand(row.prompt - row.cached, 1) if ready and row.pooled else None)
        names = list(scheduled.num_scheduled_tokens)
        pooler_output = scores if any(score is not None for score in scores) else None
        return ModelRunnerOutput(names, {name: i for i, name in enumerate(names)}, tokens, pooler_output=pooler_output)

    def _token(self, row: Row) -> int:
        row.written += 1
        if row.written % STEP:
            return int(self._rng.choice(self._ids["words"]))
        row.steps += 1
        return int(self._ids["separator"] if row.steps < STEPS else self._ids["end"])
