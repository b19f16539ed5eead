"""Two numbers a token, sent once: what our schedulers make of the outputs that vLLM's make."""

from types import SimpleNamespace

import numpy as np
import pytest
from vllm.sampling_params import SamplingParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.outputs import LogprobsLists

from tts_study.engines.engine import SUMMARY, of_token
from tts_study.engines.schedulers import SendsSummaries, SendsSummariesAsync, send_summaries


def logprobs(*values):
    return LogprobsLists(np.array([[5] * len(values)]), np.array([values], dtype=np.float32), np.array([1]))


def output(name, rows=None, finish=None):
    return SimpleNamespace(request_id=name, new_logprobs=rows, finish_reason=finish)


@pytest.fixture
def scheduler(monkeypatch):
    """One that sends what a test tells it to, in place of vLLM's outputs."""
    monkeypatch.setattr(Scheduler, "__init__", lambda self: None)
    monkeypatch.setattr(Scheduler, "add_request", lambda self, request: None)
    monkeypatch.setattr(Scheduler, "update_from_output", lambda self, *outputs: {0: SimpleNamespace(outputs=outputs)})
    monkeypatch.setattr(Scheduler, "finish_requests", lambda self, names, status: [])
    made = SendsSummaries()
    for name, extra in (("ours", {SUMMARY: True}), ("other", None)):
        made.add_request(SimpleNamespace(request_id=name, sampling_params=SamplingParams(extra_args=extra)))
    return made


def test_two_numbers_of_each_token_come_with_the_last_one_and_no_log_probabilities_before(scheduler):
    first, last = (-0.5, -0.25, -2.0), (-3.0, -1.0, -np.inf)
    sent = output("ours", logprobs(*first))
    scheduler.update_from_output(sent)
    assert sent.new_logprobs is None
    end = output("ours", logprobs(*last), finish="stop")
    scheduler.update_from_output(end)
    pairs = [tuple(row) for row in end.new_logprobs.logprobs.tolist()]
    assert pairs == [of_token(top[0], top[1:]) for top in (first, last)]
    assert [len(each) for each in end.new_logprobs[:3]] == [2, 2, 2], "vLLM reads the three arrays side by side"
    assert scheduler._kept == {}


def test_a_request_that_ends_with_its_first_token_gets_them_too(scheduler):
    end = output("ours", logprobs(-1.0, -1.0, -3.0), finish="length")
    scheduler.update_from_output(end)
    assert end.new_logprobs.logprobs.tolist() == [[-1.0, 2.0]]


def test_other_requests_get_what_vllm_sends(scheduler):
    rows = logprobs(-1.0, -1.0, -3.0)
    for finish in (None, "stop"):
        sent = output("other", rows, finish)
        scheduler.update_from_output(sent)
        assert sent.new_logprobs is rows


def test_nothing_is_kept_of_a_request_that_is_aborted_or_ends_without_a_token(scheduler, monkeypatch):
    scheduler.update_from_output(output("ours", logprobs(-1.0, -1.0)))
    monkeypatch.setattr(Scheduler, "finish_requests", lambda self, *_: [SimpleNamespace(request_id="ours")])
    scheduler.finish_requests(["ours"], None)
    assert scheduler._kept == {}
    ours = SamplingParams(extra_args={SUMMARY: True})
    scheduler.add_request(SimpleNamespace(request_id="ours", sampling_params=ours))
    end = output("ours", finish="error")
    scheduler.update_from_output(end)
    assert end.new_logprobs is None and scheduler._kept == {}


def test_what_is_kept_of_a_token_does_not_keep_the_whole_batchs_log_probabilities(scheduler):
    batch = np.zeros((256, 21), dtype=np.float32)
    scheduler.update_from_output(output("ours", LogprobsLists(batch[:1], batch[:1], batch[:1, 0])))
    (kept,) = scheduler._kept["ours"]
    assert kept.base is None and kept.shape == (1, 21)


@pytest.mark.parametrize(("asynchronous", "ours"), [(False, SendsSummaries), (True, SendsSummariesAsync)])
def test_an_engine_keeps_its_kind_of_scheduler_and_one_that_its_model_needs(asynchronous, ours):
    config = SimpleNamespace(scheduler_cls=None, async_scheduling=asynchronous)
    send_summaries(config)
    assert config.scheduler_cls is ours and issubclass(ours, AsyncScheduler) == asynchronous
    special = SimpleNamespace(scheduler_cls="vllm.special", async_scheduling=asynchronous)
    send_summaries(special)
    assert special.scheduler_cls == "vllm.special"
