"""Remote engines against small servers that speak as vLLM's do: balancing, retries, and errors in one sentence."""

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from engine_settings import SHARED

from tts_study.cli import main
from tts_study.engines import ports, replies, serving
from tts_study.engines import servers as transport
from tts_study.engines.keys import EveryPath
from tts_study.engines.policy import sample_seeds
from tts_study.engines.ports import check_places
from tts_study.engines.remote import PLAIN, RemotePolicy, RemotePRM, weights_name
from tts_study.engines.self_prm import SelfPRM
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.errors import RunStopped, UserError
from tts_study.profiles import load_profile
from tts_study.records import Cost, Problem
from tts_study.runs import run as runs
from tts_study.runs.engines import (
    ENGINES,
    POLICY_URL,
    Engines,
    policy_settings,
    policy_urls,
    prm_settings,
    prm_urls,
)
from tts_study.runs.spec import RunSpec

PROBLEM = Problem(id="a", text="Start with 42, subtract 17.", answer="25")
SAID = 7, 8, 9  # token ids


class FakeServer:
    """Answers as `vllm serve` does, with the same three tokens to everything, unless it is given another reply."""

    def __init__(self, model, *, context=512, key=None, noise=False, faults=()):
        self.cards = [{"id": "served", "root": str(model), "max_model_len": context}]
        if noise:
            self.cards.append({"id": "sampler:gumbel-hash", "root": str(model), "max_model_len": context})
        self.key, self.noise, self.faults = key, noise, list(faults)
        self.asked, self.waiting, self.gate = [], 0, asyncio.Event()
        self.gate.set()
        app = web.Application()
        app.add_routes([
            web.get("/v1/models", self.models),
            web.post("/v1/completions", self.completions),
            web.post("/pooling", self.pooling),
        ])  # fmt: skip
        self.server = TestServer(app)

    async def __aenter__(self):
        await self.server.start_server(shutdown_timeout=0.1)
        return self

    async def __aexit__(self, *_):
        self.gate.set()
        await self.server.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.port}"

    async def models(self, request):
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        return web.json_response({"data": self.cards})

    async def completions(self, request):
        body = await request.json()
        noise = body.get("vllm_xargs", {}).get("seeded_noise", [0])[0] if self.noise else 0
        choice = {"token_ids": [*SAID[:-1], SAID[-1] + noise % 50], "finish_reason": "stop", "stop_reason": None}
        if "logprob_token_ids" in body:
            choice["logprobs"] = self.probable(body)
        reply = {"choices": [choice], "usage": {"prompt_tokens_details": {"cached_tokens": 2}}}
        return await self.answer(request, reply)

    def probable(self, body):
        """The probabilities of 0.75 and 0.25 that it gives to the two tokens that are asked for."""
        named = zip(body["logprob_token_ids"], (-0.2877, -1.3863), strict=True)
        return {"top_logprobs": [{f"token_id:{token}": logprob for token, logprob in named}]}

    async def pooling(self, request):
        body = await request.json()
        return await self.answer(request, {"data": [{"data": [[0.25 * (token % 4)] for token in body["input"]]}]})

    async def answer(self, request, reply):
        body = await request.json()
        if self.faults and "ignore_eos" not in body:  # probes are answered well
            fault = self.faults.pop(0)
            if fault == "cut":
                request.transport.abort()
            elif fault == "abort":
                reply["choices"][0]["finish_reason"] = "abort"
            elif isinstance(fault, int):
                return web.json_response({"error": {"message": "out of order"}}, status=fault)
        self.asked.append(body)
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        return web.json_response(reply)


@pytest.fixture
async def serve():
    """Starts servers that are closed at the end of the test."""
    async with AsyncExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_async_context(FakeServer(*arguments, **options))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transport, "FIRST_REST", 0.02)
    monkeypatch.setattr(transport, "LONGEST_REST", 0.1)
    for name in (replies.API_KEY, POLICY_URL):
        monkeypatch.delenv(name, raising=False)


def policy_on(folder, *fakes, patience=60.0, **settings):
    settings = PolicySettings(model=str(folder), max_model_len=512, max_tokens=64, **settings)
    return RemotePolicy(settings, [fake.url for fake in fakes], patience=patience)


def prm_on(folder, *fakes):
    return RemotePRM(PRMSettings(model=str(folder), max_model_len=512), [f.url for f in fakes], patience=1.0)


# --- what is asked and what is made of it ----------------------------------------------------------------------------


async def test_samples_are_asked_for_by_token_ids_each_with_its_seed_and_costs_are_added_up(serve, policy_folder):
    fake = await serve(policy_folder)
    async with policy_on(policy_folder, fake, temperature=0.5, top_p=0.9) as policy:
        prompt = policy.prompt(PROBLEM)
        sampled = await policy.complete(prompt, n=3, seed=1)
    asked = fake.asked[1:]  # one is a probe
    assert [body["seed"] for body in asked] == sample_seeds(prompt, 1, 3)
    for body in asked:
        body.pop("seed")
        assert body == PLAIN | {
            "model": "served", "prompt": list(prompt), "temperature": 0.5, "top_p": 0.9, "max_tokens": 64,
        }  # fmt: skip
    assert [g.token_ids for g in sampled.generations] == [SAID] * 3
    assert {g.stop for g in sampled.generations} == {"end"}
    assert sampled.cost == Cost(generated=9, prompt=3 * len(prompt) - 6, prompt_cached=6)


async def test_only_servers_that_all_draw_by_our_noise_are_asked_to_and_others_get_a_seed(serve, policy_folder):
    noisy, plain = await serve(policy_folder, noise=True), await serve(policy_folder)
    async with policy_on(policy_folder, noisy, temperature=0.5) as policy:
        prompt = policy.prompt(PROBLEM)
        sampled = await policy.complete(prompt, n=2, seed=1)
        await policy.complete(prompt, n=1, seed=1, temperature=0.0)
        assert policy.sampler == "gumbel-hash"
    first, second, greedy = noisy.asked[1:]
    assert [first["vllm_xargs"], second["vllm_xargs"]] == [
        {"seeded_noise": [seed, 0.5]} for seed in sample_seeds(prompt, 1, 2)
    ]
    assert (first["temperature"], first["seed"]) == (0.0, None) and "vllm_xargs" not in greedy
    assert len({g.token_ids for g in sampled.generations}) == 2
    async with policy_on(policy_folder, noisy, plain) as policy:
        await policy.complete(prompt, n=4, seed=1)
        assert policy.sampler == "vllm"
    plainly = [*noisy.asked[5:], *plain.asked[1:]]
    assert sorted(body["seed"] for body in plainly) == sorted(sample_seeds(prompt, 1, 4))
    assert all("vllm_xargs" not in body for body in plainly)


async def test_a_step_is_asked_for_with_its_separators(serve, policy_folder):
    fake = await serve(policy_folder)
    async with policy_on(policy_folder, fake) as policy:
        await policy.steps(policy.prompt(PROBLEM), n=1, seed=1)
        separator = policy.engine.tokenizer.convert_tokens_to_ids("\n\n")
    assert fake.asked[-1]["stop"] == ["\n\n"] and fake.asked[-1]["include_stop_str_in_output"]
    assert separator in fake.asked[-1]["stop_token_ids"]


async def test_scores_are_read_where_steps_are_judged(serve, prm_folder):
    fake = await serve(prm_folder)
    async with prm_on(prm_folder, fake) as prm:
        token_ids, positions = prm.mark(PROBLEM, ("42-17=25", "25*3=75"))
        scored = await prm.score_solutions(PROBLEM, [("42-17=25", "25*3=75")])
        last = await prm.score_last_steps(PROBLEM, [("42-17=25", "25*3=75")])
    expected = tuple(0.25 * (token_ids[position] % 4) for position in positions)
    assert scored.step_scores == (expected,)
    assert last.step_scores == (expected[-1:],)
    assert scored.cost == last.cost == Cost(scored=positions[-1] + 1)


# --- several servers, and servers that fail --------------------------------------------------------------------------


async def test_a_policy_on_a_server_is_asked_for_the_probabilities_of_its_two_answers(serve, policy_folder):
    fake = await serve(policy_folder, faults=[500])
    async with policy_on(policy_folder, fake) as policy:
        prm = SelfPRM(policy, "rlhflow")
        scored = await prm.score_last_steps(PROBLEM, [("42-17=25",)])
    assert scored.step_scores == ((pytest.approx(0.75, abs=1e-4),),)
    (asked,) = [body for body in fake.asked if "logprob_token_ids" in body]
    (prompt,) = prm.prompts(PROBLEM, ["42-17=25"])
    assert asked["prompt"] == list(prompt) and asked["max_tokens"] == 1 and asked["return_tokens_as_token_ids"]
    assert asked["logprob_token_ids"] == list(prm.answers) and asked["logprobs"] == 2
    assert scored.cost == Cost(scored=len(prompt) - 2, scored_cached=2)


@pytest.mark.parametrize(
    ("logprobs", "told"),
    [
        ({"token_id:{0}": -0.1}, "does not return the probabilities"),
        ({"token_id:{0}": -0.1, "token_id:{1}": "-0.2"}, "'-0.2', which is not the logarithm"),
        ({"token_id:{0}": -0.1, "token_id:{1}": None}, "None, which is not the logarithm"),
        ({"token_id:{0}": -0.1, "token_id:{1}": 3}, "3, which is not the logarithm"),
        ({"token_id:{0}": -0.1, "token_id:{1}": -(10**400)}, "000, which is not the logarithm"),
        ("token_id:{0} token_id:{1}", "not a server of vLLM"),
        (7, "not a server of vLLM"),
    ],
)
async def test_probabilities_that_cannot_be_are_one_sentence(serve, policy_folder, monkeypatch, logprobs, told):
    fake = await serve(policy_folder)

    def probable(body):
        named = json.dumps(logprobs)
        for place, token in enumerate(body["logprob_token_ids"]):
            named = named.replace(f"{{{place}}}", str(token))
        return {"top_logprobs": [json.loads(named)]}

    fake.probable = probable
    async with policy_on(policy_folder, fake) as policy:
        with pytest.raises(UserError, match="^[^\n]*$") as caught:
            await SelfPRM(policy, "rlhflow").score_last_steps(PROBLEM, [("42-17=25",)])
    assert told in str(caught.value)


async def test_requests_are_shared_out_evenly_and_a_slow_server_gets_fewer(serve, policy_folder):
    slow, fast = await serve(policy_folder), await serve(policy_folder)
    async with policy_on(policy_folder, slow, fast) as policy:
        await policy.start()
        prompt = policy.prompt(PROBLEM)
        slow.gate.clear()
        fast.gate.clear()
        first = asyncio.create_task(policy.complete(prompt, n=10, seed=0))
        while slow.waiting + fast.waiting < 10:
            await asyncio.sleep(0.01)
        assert (slow.waiting, fast.waiting) == (5, 5)
        fast.gate.set()
        while policy.engine._servers.servers[1].in_flight:
            await asyncio.sleep(0.01)
        for seed in range(1, 9):
            await policy.complete(prompt, n=1, seed=seed)
        slow.gate.set()
        assert len((await first).generations) == 10
    assert (len(slow.asked) - 1, len(fast.asked) - 1) == (5, 13)


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "abort"])
async def test_what_another_try_may_mend_is_tried_again(serve, policy_folder, fault):
    fake = await serve(policy_folder, faults=[fault] * 4)
    async with policy_on(policy_folder, fake) as policy:
        sampled = await policy.complete(policy.prompt(PROBLEM), n=8, seed=0)
    assert [g.token_ids for g in sampled.generations] == [SAID] * 8
    assert fake.faults == []


async def test_the_others_take_over_what_a_killed_server_was_asked(serve, policy_folder):
    killed, other = await serve(policy_folder), await serve(policy_folder)
    async with policy_on(policy_folder, killed, other) as policy:
        await policy.start()
        killed.gate.clear()
        task = asyncio.create_task(policy.complete(policy.prompt(PROBLEM), n=20, seed=0))
        while killed.waiting < 10:
            await asyncio.sleep(0.01)
        killed.faults = ["cut"] * 1000
        await killed.server.close()
        sampled = await task
        assert len(sampled.generations) == 20
        assert len({body["seed"] for body in other.asked[1:]}) == 20
        await policy.complete(policy.prompt(PROBLEM), n=20, seed=1)


async def test_a_server_that_stays_broken_is_given_up_with_its_own_words(serve, policy_folder):
    fake = await serve(policy_folder, faults=[500] * 1000)
    async with policy_on(policy_folder, fake, patience=0.3) as policy:
        with pytest.raises(UserError, match=r"HTTP 500: out of order\); the server has failed for 0.3 s: restart"):
            await policy.complete(policy.prompt(PROBLEM), n=2, seed=0)


async def test_a_server_that_does_not_answer_in_time_is_given_up_and_another_one_asked(serve, policy_folder):
    stuck, other = await serve(policy_folder), await serve(policy_folder)
    async with policy_on(policy_folder, stuck, other, reply_limit=0.2) as policy:
        await policy.start()
        stuck.gate.clear()
        assert len((await policy.complete(policy.prompt(PROBLEM), n=4, seed=0)).generations) == 4
    async with policy_on(policy_folder, stuck, reply_limit=0.1, patience=0.1) as policy:
        with pytest.raises(UserError, match="cannot be reached .*: start it .* or leave it out"):
            await policy.start()


# --- bad servers are reported in one sentence ------------------------------------------------------------------------


async def refusal(engine):
    async with engine:
        with pytest.raises(UserError) as caught:
            await engine.start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_server_that_is_not_there_is_reported_at_once(serve, policy_folder):
    fake, gone = await serve(policy_folder), await serve(policy_folder)
    policy, address = policy_on(policy_folder, fake, gone, patience=60), gone.url
    await gone.server.close()
    reported = await refusal(policy)
    assert address in reported and "tts-study serve" in reported


async def test_a_wrong_model_is_reported_with_what_is_there(serve, policy_folder, prm_folder):
    reported = await refusal(policy_on(policy_folder, await serve(prm_folder)))
    assert "No server has the model" in reported and "has served" in reported and "--served-model-name" in reported


async def test_servers_of_other_models_are_left_alone(serve, policy_folder, prm_folder):
    right, wrong = await serve(policy_folder), await serve(prm_folder)
    async with policy_on(policy_folder, wrong, right) as policy:
        await policy.complete(policy.prompt(PROBLEM), n=4, seed=0)
    assert len(right.asked) == 5 and wrong.asked == []


async def test_other_weights_under_the_same_name_are_refused(serve, policy_folder, prm_folder):
    fake = await serve(policy_folder)
    fake.cards.append({"id": weights_name(str(policy_folder)), "root": str(policy_folder)})
    async with policy_on(policy_folder, fake) as policy:
        await policy.start()
    fake.cards[-1]["id"] = weights_name(str(prm_folder))
    assert "different weights" in await refusal(policy_on(policy_folder, fake))


async def test_a_context_that_is_too_small_is_refused(serve, policy_folder):
    reported = await refusal(policy_on(policy_folder, await serve(policy_folder, context=256)))
    assert "is 256 tokens" in reported and "--max-model-len 512" in reported


async def test_a_key_is_wanted_sent_and_never_reported(serve, policy_folder, monkeypatch):
    fake = await serve(policy_folder, key="open-sesame")
    assert "requires an API key: set $TTS_STUDY_API_KEY" in await refusal(policy_on(policy_folder, fake))
    monkeypatch.setenv(replies.API_KEY, "hocus-pocus")
    reported = await refusal(policy_on(policy_folder, fake))
    assert "does not accept the key" in reported and "hocus" not in reported
    monkeypatch.setenv(replies.API_KEY, "open-sesame")
    async with policy_on(policy_folder, fake) as policy:
        await policy.start()


async def test_a_policy_that_tells_no_token_ids_or_cached_tokens_is_refused(serve, policy_folder, monkeypatch):
    fake = await serve(policy_folder)

    async def terse(request):
        return web.json_response(replies.pop(0))

    replies = [
        {"choices": [{"finish_reason": "stop", "stop_reason": None}], "usage": {}},
        {"choices": [{"finish_reason": "stop", "stop_reason": None, "token_ids": [1]}], "usage": {}},
        {"hello": "world"},
    ]
    monkeypatch.setattr(fake, "answer", lambda request, reply: terse(request))
    assert "token ids" in await refusal(policy_on(policy_folder, fake))
    assert "--enable-prompt-tokens-details" in await refusal(policy_on(policy_folder, fake))
    assert "is not a server of vLLM" in await refusal(policy_on(policy_folder, fake))


@pytest.mark.parametrize("reply, status", [
    ({"detail": "Not Found"}, 404),
    ({"error": {"message": "Try switching the model's pooling_task via --pooler-config.task token_classify."}}, 400),
])  # fmt: skip
async def test_a_server_that_scores_no_tokens_is_no_prm(serve, prm_folder, monkeypatch, reply, status):
    fake = await serve(prm_folder)

    async def refuse(request):
        return web.json_response(reply, status=status)

    monkeypatch.setattr(fake, "answer", lambda request, reply: refuse(request))
    reported = await refusal(prm_on(prm_folder, fake))
    assert "cannot be a PRM" in reported and "--runner pooling" in reported


async def test_a_server_of_embeddings_is_no_prm(serve, prm_folder, monkeypatch):
    fake = await serve(prm_folder)

    async def embed(request):
        return web.json_response({"data": [{"data": [[0.1] * 16] * 2}]})

    monkeypatch.setattr(fake, "answer", lambda request, reply: embed(request))
    assert "not a PRM" in await refusal(prm_on(prm_folder, fake))


@pytest.mark.parametrize("url", [
    "localhost:8000", "ftp://a", "http://", "", "http://me:secret@host:1", "ftp://me:secret@a", "http://me:secret@[::1",
    "http://me:secret@host?x=1", "http://h/me:secret@a", "http://[::1", "http://h:99999", "http://h:x", "http://h:-1",
    "http://h:0", "http:// h", "http://a b:80", "http://..", "http://*:80", "http://\udcff", "http://h/a b",
    "http://\u2100:80", f"http://{'a.' * 999}a",
])  # fmt: skip
def test_what_is_no_url_is_refused_and_passwords_are_not_reported(policy_folder, url):
    with pytest.raises(UserError) as caught:
        RemotePolicy(PolicySettings(model=str(policy_folder)), [url])
    assert "secret" not in str(caught.value) and "URL" in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("host", [
    "", " ", "a b", "[::1]", "x" * 5000, "http://h", "me:secret@h", "\udcff", "-x", "*", "a..b", "127.0.0.1:80",
])  # fmt: skip
def test_a_host_that_cannot_be_is_refused_before_anything_starts(host):
    with pytest.raises(UserError, match="--host") as caught:
        check_places(host, [8000])
    assert "secret" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "node-7", "node_7.cluster.local.", "bücher.example"])
def test_hosts_that_can_be_are_taken(host):
    check_places(host, [8000])


async def test_an_openai_base_url_will_do(serve, policy_folder):
    fake = await serve(policy_folder)
    async with RemotePolicy(PolicySettings(model=str(policy_folder), max_model_len=512), [fake.url + "/v1/"]) as policy:
        await policy.start()


# --- from a profile --------------------------------------------------------------------------------------------------


def test_where_engines_run_is_no_part_of_a_run(policy_folder):
    here = load_profile("micro")
    there = load_profile("micro", policy_url="http://a:1, http://b:2", prm_url="http://c:3")
    assert (policy_urls(there), prm_urls(there)) == (["http://a:1", "http://b:2"], ["http://c:3"])
    assert policy_urls(here) == []
    assert RunSpec.of(here, "best_of_n", [PROBLEM], n=2).header == RunSpec.of(there, "best_of_n", [PROBLEM], n=2).header


async def test_a_profile_chooses_servers_and_so_does_the_environment(monkeypatch):
    engines, profile = Engines(), load_profile("micro", prm_url="http://127.0.0.1:9")
    policy, prm = await engines.of(profile, needs_prm=True)
    assert not isinstance(policy, RemotePolicy) and isinstance(prm, RemotePRM)
    monkeypatch.setenv(POLICY_URL, "http://127.0.0.1:9")
    policy, again = await engines.of(profile, needs_prm=True)
    assert isinstance(policy, RemotePolicy) and again is prm
    assert (await engines.of(profile, needs_prm=False))[0] is policy
    await engines.close()


# --- real servers ----------------------------------------------------------------------------------------------------


def test_a_server_is_started_with_what_an_engine_is_started_with(policy_folder, prm_folder, tmp_path):
    profile = load_profile("micro", policy=str(policy_folder), prm=str(prm_folder), prm_format="rlhflow")
    policy = serving.policy_service(policy_settings(profile), "127.0.0.1", 8123, tmp_path)
    prm = serving.prm_service(prm_settings(profile), "127.0.0.1", 8124, tmp_path)
    assert policy.url == "http://127.0.0.1:8123"
    for service, folder in ((policy, policy_folder), (prm, prm_folder)):
        assert str(service).startswith(f"vllm serve {folder} --dtype bfloat16 ")
        for option in ("--max-model-len 512", "--enforce-eager", f"--served-model-name {folder} sha256:"):
            assert option in " ".join(service.options)
    assert "--enable-prompt-tokens-details" in policy.options
    assert '--pooler-config {"task": "token_classify"}' in " ".join(prm.options)
    assert "--runner pooling" in " ".join(prm.options)
    assert "--middleware tts_study.engines.keys.EveryPath" in " ".join(prm.options)


async def test_a_taken_port_and_a_server_that_cannot_start_are_reported_in_one_sentence(policy_folder, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        service = serving.Service("policy", "x", "x", url, ("--no-such-option",), tmp_path / "log")
        with pytest.raises(UserError, match="choose another port"):
            await serving.serve([service])
    service = replace(service, url=f"http://127.0.0.1:{ports.free_port()}")
    with pytest.raises(UserError, match=r"The server of the policy could not start: .*no-such-option.* \(see .*log\)"):
        await serving.serve([service])


# a healthy server with a child of its own
STAND_IN = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

child = subprocess.Popen(["sleep", "100"])
HTTPServer(("127.0.0.1", int(sys.argv[-1])), Healthy).serve_forever()
"""


async def stand_in(part, folder):
    port = ports.free_port()
    return serving.Service(part, "x", "micro/x", f"http://127.0.0.1:{port}", (str(port),), folder / f"{part}.log")


@pytest.fixture
async def standing_in(monkeypatch, tmp_path, capsys):
    """`serve` with stand-ins for vLLM's servers: its task, once both are up, and their processes."""
    monkeypatch.setattr(serving, "SERVER", (sys.executable, "-c", STAND_IN))
    before = set(psutil.Process().children(recursive=True))
    serve = asyncio.create_task(serving.serve([await stand_in("policy", tmp_path), await stand_in("prm", tmp_path)]))
    printed = ""
    while "Ctrl-C shuts them down" not in printed:
        assert not serve.done()
        await asyncio.sleep(0.05)
        printed += capsys.readouterr().out
    yield serve, set(psutil.Process().children(recursive=True)) - before, printed


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_serve_tells_how_to_use_its_servers_and_a_signal_ends_all_their_processes(standing_in, signum):
    serve, processes, printed = standing_in
    assert len(processes) == 4
    for option in ("--policy-url http://127.0.0.1:", "--prm-url http://127.0.0.1:", "export TTS_STUDY_POLICY_URL=http"):
        assert option in printed
    os.kill(os.getpid(), signum)
    await serve
    assert psutil.wait_procs(processes, timeout=10)[1] == []


async def test_a_server_that_ends_takes_the_other_with_it(standing_in):
    serve, processes, _ = standing_in
    next(process for process in processes if process.name() != "sleep").kill()
    with pytest.raises(UserError, match=r"The server of the (policy|PRM) ended: "):
        await serve
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_servers_do_not_outlive_a_process_that_is_killed(tmp_path):
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    code = (
        "import asyncio, pathlib\n"
        "from tts_study.engines import serving\n"
        "serving.SERVER = (*serving.SERVER[:-1], 'stand_in')\n"
        f"url, log = 'http://127.0.0.1:{ports.free_port()}', pathlib.Path({str(tmp_path)!r}) / 'log'\n"
        "service = serving.Service('policy', 'x', 'x', url, (url.split(':')[-1],), log)\n"
        "asyncio.run(serving.serve([service]))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    while "Ctrl-C" not in process.stdout.readline():
        assert process.poll() is None
    (server,) = psutil.Process(process.pid).children()
    process.kill()
    assert psutil.wait_procs([server], timeout=10)[1] == []


def test_a_server_that_is_starting_and_ignores_signals_does_not_outlive_its_starter(tmp_path):
    (tmp_path / "stand_in.py").write_text("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                                          "print('here', flush=True); time.sleep(120)")  # fmt: skip
    code = (
        "import asyncio, pathlib\n"
        "from tts_study.engines import serving\n"
        "serving.SERVER = (*serving.SERVER[:-1], 'stand_in')\n"
        f"log = pathlib.Path({str(tmp_path)!r}) / 'log'\n"
        "service = serving.Service('policy', 'x', 'x', 'http://x.invalid', (), log)\n"
        "async def main(): await asyncio.wait(serving.start([service], [asyncio.Event()]))\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    log = tmp_path / "log"
    while not log.exists() or "here" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    (server,) = psutil.Process(process.pid).children()
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    assert psutil.wait_procs([server], timeout=10)[1] == []


@pytest.mark.parametrize("arguments, reported", [
    (["--ports", "70000", "8001"], "70000 is not a port: choose one of at most 65535"),
    (["--ports", "8000", "8000"], "port 8000 is named twice"),
    (["--host", ""], "--host is empty"),
    (["--host", "no.such.host.invalid"], "Cannot serve at http://no.such.host.invalid:8000"),
    (["--host", "2001:db8::1"], "Cannot serve at http://[2001:db8::1]:8000"),
])  # fmt: skip
def test_places_where_no_server_can_be_are_refused_in_one_sentence(capsys, arguments, reported):
    assert main(["serve", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert reported in line


def test_a_server_may_listen_at_an_ipv6_address():
    ports.check_free(f"http://[::1]:{ports.free_port()}")


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/pooling", "/tokenize", "/metrics", "/health/..", ""])
@pytest.mark.parametrize("given, status", [(None, 401), (b"Bearer wrong", 401), (b"open-sesame", 401),
                                           (b"Bearer open-sesame", 200)])  # fmt: skip
async def test_every_path_of_a_server_wants_the_key(monkeypatch, path, given, status):
    assert await answered(monkeypatch, "open-sesame", path, given) == status


async def test_health_wants_no_key_and_without_a_key_nothing_does(monkeypatch):
    assert await answered(monkeypatch, "open-sesame", "/health", None) == 200
    assert await answered(monkeypatch, None, "/pooling", None) == 200


async def answered(monkeypatch, key, path, given):
    """The status with which a server that wants a key answers a request."""
    monkeypatch.setenv("VLLM_API_KEY", key) if key else monkeypatch.delenv("VLLM_API_KEY", raising=False)
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"authorization", given)] if given else []}
    await EveryPath(app)(scope, None, send)
    return sent[0]["status"]


def test_a_policy_that_judges_itself_is_served_once(capsys, monkeypatch):
    served = []

    async def note(services):
        served.extend(services)

    monkeypatch.setattr(serving, "serve", note)
    itself = ["serve", "--prm", "self", "--prm-format", "rlhflow", "--ports", "8000"]
    assert main(itself) == 0 and [service.part for service in served] == ["policy"]
    assert main([*itself, "--only", "prm"]) == 2
    assert "served as a policy" in capsys.readouterr().err


def test_serve_wants_a_port_for_each_server(capsys):
    assert main(["serve", "--ports", "8000"]) == 2
    assert "--ports needs 2 ports" in capsys.readouterr().err


@pytest.fixture(scope="module")
def served(loop, policy_folder, prm_folder, tmp_path_factory):
    """Two servers of the policy and one of the PRM, as `tts-study serve` starts them; their tasks, and the profile."""
    profile = load_profile(
        "micro", policy=str(policy_folder), prm=str(prm_folder), prm_format="rlhflow", dtype="float32",
        max_tokens=200, max_step_tokens=100, **SHARED,
    )  # fmt: skip
    logs = tmp_path_factory.mktemp("logs")
    services = [
        make(settings, "127.0.0.1", ports.free_port(), logs)
        for make, settings in (
            (serving.policy_service, policy_settings(profile)),
            (serving.policy_service, policy_settings(profile)),
            (serving.prm_service, prm_settings(profile)),
        )
    ]

    async def start():
        ready = [asyncio.Event() for _ in services]
        keepers = serving.start(services, ready)
        up = asyncio.gather(*(event.wait() for event in ready))
        await asyncio.wait((up, *keepers), return_when=asyncio.FIRST_COMPLETED)
        for keeper in keepers:
            if keeper.done():
                keeper.result()
        return keepers

    async def stop():
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    keepers = loop.run_until_complete(start())
    urls = [service.url for service in services]
    yield replace(profile, policy_url=",".join(urls[:2]), prm_url=urls[2]), keepers
    loop.run_until_complete(stop())


@pytest.mark.engine
def test_servers_give_what_an_engine_gives(served, engines, loop):
    async def answers(policy, prm):
        solutions = [("42-17=25", "25*3=75", r"\boxed{75}"), ("42-17=24",)]
        prompt = policy.prompt(PROBLEM)
        return (
            [
                (await policy.complete(prompt, n=1, seed=0, temperature=0.0)).generations,
                (await policy.steps(prompt, n=2, seed=0, temperature=0.0)).generations,
                (await policy.steps(prompt, n=8, seed=1)).generations,
            ],
            await prm.score_solutions(PROBLEM, solutions),
            await prm.score_last_steps(PROBLEM, solutions),
            await SelfPRM(policy, "rlhflow").score_solutions(PROBLEM, solutions),
        )

    async def remote():
        shared = Engines()
        there = await answers(*await shared.of(served[0], needs_prm=True))
        await shared.close()
        return there

    there, here = loop.run_until_complete(remote()), loop.run_until_complete(answers(*engines))
    assert there[0] == here[0]
    assert there[1].cost == here[1].cost
    for scored, scored_here in zip(there[1:], here[1:], strict=True):
        for scores, scores_here in zip(scored.step_scores, scored_here.step_scores, strict=True):
            assert scores == pytest.approx(scores_here, abs=1e-5)


@pytest.mark.engine
def test_a_malformed_request_is_refused_and_the_server_lives_on(served, loop):
    async def ask(url, noise):
        body = PLAIN | {"model": "", "prompt": [5], "max_tokens": 1, "vllm_xargs": {"seeded_noise": noise}}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/v1/models") as models:
                body["model"] = (await models.json())["data"][0]["id"]
            async with session.post(f"{url}/v1/completions", json=body) as reply:
                return reply.status, await reply.text()

    url = served[0].policy_url.split(",")[0]
    for noise in (["seven", 1.0], [7], [7, -1.0], 7):
        status, reported = loop.run_until_complete(ask(url, noise))
        assert status == 400 and "seeded_noise must be a seed" in reported
    assert loop.run_until_complete(ask(url, [7, 1.0]))[0] == 200


@pytest.mark.engine
def test_a_server_of_two_that_is_killed_in_the_middle_of_a_run_loses_nothing(served, loop, tmp_path):
    profile, keepers = served
    problems = [Problem(f"p/{i}", f"Start with {i}, add 5, multiply by 2.", "1") for i in range(60)]
    path = tmp_path / "run.jsonl"
    port = profile.policy_url.split(",")[0].split(":")[-1]
    (victim,) = (child for child in psutil.Process().children() if port in child.cmdline())

    async def search():
        run = asyncio.create_task(runs.run_spec(RunSpec.of(profile, "best_of_n", problems, n=16), path=path))
        while not path.exists() or path.read_bytes().count(b"\n") < 4:
            assert not run.done()
            await asyncio.sleep(0.02)
        os.killpg(victim.pid, signal.SIGKILL)
        try:
            return await run, path.read_bytes().count(b"\n")
        finally:
            await ENGINES.close()

    run, lines = loop.run_until_complete(search())
    assert run.problems == tuple(problems) and lines == 1 + len(problems)
    assert all(len(result.completions) == 16 for result in run.results)
    with pytest.raises(UserError, match="server of the policy ended"):
        keepers[0].result()


# --- what servers say is not trusted ---------------------------------------------------------------------------------

NOT_SCORES = [float("nan"), float("inf"), -3, 7, "high", None, [0.5], True]


@pytest.mark.parametrize("score", NOT_SCORES)
async def test_a_score_that_is_not_a_number_from_0_to_1_ends_the_run_with_model_and_dtype(serve, prm_folder, score):
    fake = await serve(prm_folder)
    fake.answer = lambda request, reply: as_json({"data": [{"data": [[score]] * len(reply["data"][0]["data"])}]})
    async with prm_on(prm_folder, fake) as prm:
        with pytest.raises(
            RunStopped, match="dtype bfloat16.* returned the score .*, which is not a number from 0 to 1"
        ):
            await prm.score_solutions(PROBLEM, [("42-17=25",)])


@pytest.mark.parametrize("more", [-1, 3])
async def test_as_many_scores_as_tokens_must_come_back(serve, prm_folder, more):
    fake = await serve(prm_folder)

    async def answer(request, reply):
        return web.json_response({"data": [{"data": [[0.5]] * (len(reply["data"][0]["data"]) + more)}]})

    fake.answer = answer
    async with prm_on(prm_folder, fake) as prm:
        with pytest.raises(RunStopped, match=r"returned \d+ scores for \d+ tokens"):
            await prm.score_solutions(PROBLEM, [("42-17=25",)])


@pytest.mark.parametrize(
    ("tokens", "cached", "reported"),
    [
        ([10**6], 0, "returned the token 1000000"),
        ([-1], 0, "returned the token -1"),
        ([1.0], 0, "returned the token 1.0"),
        ([True], 0, "returned the token True"),
        ([1] * 65, 0, "returned 65 tokens where at most 64"),
        ([1], -2, "returned -2 cached tokens"),
        ([1], 10_000, "returned 10000 cached tokens"),
        ([1], "5", "returned '5' cached tokens"),
        ([1], 10**400, "0000 cached tokens"),
        ([1], [], "returned [] cached tokens"),
    ],
)
async def test_tokens_and_counts_that_cannot_be_end_the_run(serve, policy_folder, tokens, cached, reported):
    fake = await serve(policy_folder)
    choice = {"token_ids": tokens, "finish_reason": "stop", "stop_reason": None}
    usage = {"prompt_tokens_details": {"cached_tokens": cached}}
    fake.answer = lambda request, reply: as_json({"choices": [choice], "usage": usage})
    async with policy_on(policy_folder, fake) as policy:
        with pytest.raises(RunStopped) as caught:
            await policy.complete(policy.prompt(PROBLEM), n=1, seed=0)
    assert reported in str(caught.value) and str(policy_folder) in str(caught.value)


@pytest.mark.parametrize(
    "listed",
    [
        {"token_logprobs": [-0.1], "top_logprobs": [{"a": -0.1}, {"b": -0.2}]},
        {"token_logprobs": [-0.1, -0.2], "top_logprobs": [{"a": -0.1}, {}]},
        {"token_logprobs": [-0.1, -0.2], "top_logprobs": [{"a": -0.1}, {"b": 10**400}]},
        {"token_logprobs": [-0.1, -0.2], "top_logprobs": [{"a": -0.1}, {"b": "low"}]},
        {"token_logprobs": [-0.1, -(10**400)], "top_logprobs": [{"a": -0.1}, {"b": -0.2}]},
        {"token_logprobs": [-0.1, float("-inf")], "top_logprobs": [{"a": -0.1}, {"b": -0.2}]},
    ],
)
async def test_log_probabilities_that_cannot_be_are_one_sentence(serve, policy_folder, listed):
    fake = await serve(policy_folder)
    choice = {"token_ids": [1, 2], "finish_reason": "stop", "logprobs": listed}
    usage = {"prompt_tokens_details": {"cached_tokens": 0}}
    fake.answer = lambda request, reply: as_json({"choices": [choice], "usage": usage})
    async with policy_on(policy_folder, fake, signals=True) as policy:
        with pytest.raises(UserError, match="^[^\n]*$"):
            await policy.complete(policy.prompt(PROBLEM), n=1, seed=0)


@pytest.mark.parametrize("reason", [True, 1.5, [], "a text that nobody asked it to stop at", -1])
async def test_a_sample_that_was_stopped_by_what_was_not_asked_for_ends_the_run(serve, policy_folder, reason):
    fake = await serve(policy_folder)
    choice = {"token_ids": [1], "finish_reason": "stop", "stop_reason": reason}
    usage = {"prompt_tokens_details": {"cached_tokens": 0}}
    fake.answer = lambda request, reply: as_json({"choices": [choice], "usage": usage})
    async with policy_on(policy_folder, fake) as policy:
        with pytest.raises(RunStopped, match="as what stopped it"):
            await policy.complete(policy.prompt(PROBLEM), n=1, seed=0)


async def as_json(body):
    return web.json_response(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"[]",
        b'{"choices": [{"finish_reason": "stop"}], "usage": []}',
        b'{"choices": "none", "usage": {}}',
        b'{"choices": [{"finish_reason": "stop", "token_ids": "abc"}], '
        b'"usage": {"prompt_tokens_details": {"cached_tokens": 0}}}',
    ],
)
async def test_a_reply_of_another_shape_is_one_sentence(serve, policy_folder, body):
    fake = await serve(policy_folder)

    async def answer(request, reply):
        return web.Response(body=body, content_type="application/json")

    fake.answer = answer
    async with policy_on(policy_folder, fake) as policy:
        with pytest.raises(UserError, match="^[^\n]*$"):
            await policy.complete(policy.prompt(PROBLEM), n=1, seed=0)


@pytest.mark.parametrize("gzipped", [True, False])
async def test_a_reply_without_a_reasonable_end_is_not_read_to_its_end(serve, policy_folder, monkeypatch, gzipped):
    monkeypatch.setattr(replies, "MOST_BYTES", 2**16)
    fake = await serve(policy_folder)
    headers = {"Content-Encoding": "gzip"} if gzipped else {}
    body = gzip.compress(bytes(2**24)) if gzipped else bytes(2**20)

    async def answer(request, reply):
        return web.Response(body=body, headers=headers)

    fake.answer = answer
    async with policy_on(policy_folder, fake) as policy:
        with pytest.raises(UserError, match=r"compresses its replies|is longer than"):
            await policy.complete(policy.prompt(PROBLEM), n=1, seed=0)


@pytest.mark.parametrize(
    "card",
    [
        {"id": 3}, {"id": ["a"]}, {}, {"id": "a", "root": ["a"]}, {"id": "a", "max_model_len": "long"}, "model",
        {"id": "a", "max_model_len": True}, {"id": "a", "max_model_len": -(10**400)},
    ],
)  # fmt: skip
async def test_a_list_of_models_of_another_shape_is_one_sentence(serve, policy_folder, card):
    fake = await serve(policy_folder)
    fake.cards = [card]
    assert "is not a server of vLLM" in await refusal(policy_on(policy_folder, fake))


async def test_the_words_of_servers_are_made_printable_and_cut(serve, policy_folder):
    fake = await serve(policy_folder)
    said = "\x1b[2J\x07" + "no " * 10_000

    async def answer(request, reply):
        return web.json_response({"error": {"message": said}}, status=400)

    fake.answer = answer
    reported = await refusal(policy_on(policy_folder, fake))
    assert reported.isprintable() and len(reported) < 600
    fake.cards = [{"id": said}]
    reported = await refusal(policy_on(policy_folder, fake))
    assert reported.isprintable() and len(reported) < 800
