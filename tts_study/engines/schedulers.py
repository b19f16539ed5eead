"""vLLM's schedulers, changed in one thing: how sure a model was of a request's tokens is sent with the last one.

With each token vLLM sends three arrays, packs and unpacks each, and lists `TOP` + 1 log-probabilities one by one.
Of a request that asks for it (`SUMMARY`), these schedulers send two numbers a token, all at once. It must have no
stop string: the process that asked ends such a request by itself.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.outputs import LogprobsLists

from tts_study.engines.engine import LEAST, SUMMARY

if TYPE_CHECKING:
    from vllm.config.scheduler import SchedulerConfig
    from vllm.v1.request import Request


def send_summaries(config: "SchedulerConfig") -> None:
    """Let an engine use these schedulers, unless its model needs another one."""
    if config.scheduler_cls is None:
        config.scheduler_cls = SendsSummariesAsync if config.async_scheduling else SendsSummaries


class SendsSummaries(Scheduler):
    """Keeps the log-probabilities of each request that asks for it until the request ends."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: dict[str, list[np.ndarray]] = {}

    def add_request(self, request: "Request") -> None:
        """As vLLM does it."""
        if request.sampling_params and SUMMARY in (request.sampling_params.extra_args or ()):
            self._kept[request.request_id] = []
        super().add_request(request)

    def update_from_output(self, *args: Any) -> Any:
        """As vLLM does it, but the log-probabilities of those requests are kept, and summed up in the last output."""
        by_client = super().update_from_output(*args)
        for sent in by_client.values():
            for output in sent.outputs:
                if (kept := self._kept.get(output.request_id)) is None:
                    continue
                if output.new_logprobs is not None:
                    kept.append(output.new_logprobs.logprobs.copy())  # else it would keep those of the whole batch
                    output.new_logprobs = None
                if output.finish_reason is not None:
                    del self._kept[output.request_id]
                    if kept:
                        output.new_logprobs = _summary(np.concatenate(kept))
        return by_client

    def finish_requests(self, *args: Any) -> "list[Request]":
        """As vLLM does it, for requests that are aborted."""
        ended = super().finish_requests(*args)
        for request in ended:
            self._kept.pop(request.request_id, None)
        return ended


class SendsSummariesAsync(SendsSummaries, AsyncScheduler):
    """The same of the scheduler that plans a step while the last one still runs."""


def _summary(logprobs_T_K: np.ndarray) -> LogprobsLists:
    """What `of_token` makes of each token, all at once: vLLM lists the sampled one first, and then the likeliest."""
    values_T_K = logprobs_T_K.astype(float)
    confidence_T = -np.maximum(values_T_K[:, 1:], LEAST).mean(axis=1)
    pairs_T_2 = np.stack([values_T_K[:, 0], confidence_T], axis=1)
    return LogprobsLists(np.zeros_like(pairs_T_2, dtype=int), pairs_T_2, np.zeros(len(pairs_T_2), dtype=int))
