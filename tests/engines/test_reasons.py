"""What keeps an engine from starting is reported before it starts, and what ended one is reported in its own words."""

import json
import logging
import pickle
import shutil
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import huggingface_hub
import pydantic
import pytest
from huggingface_hub import constants

from tts_study.engines import checkpoints, reasons
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.replies import Refused
from tts_study.engines.settings import PolicySettings
from tts_study.errors import EngineLost, NotInstalled, UserError, one_line
from tts_study.records import Problem


@pytest.fixture
def folder(policy_folder, tmp_path):
    """A checkpoint to break."""
    return shutil.copytree(policy_folder, tmp_path / "checkpoint")


def refusal(folder):
    engine = VllmPolicy(PolicySettings(model=str(folder))).engine
    with pytest.raises(UserError) as caught:
        engine._check()
    assert "\n" not in str(caught.value) and "vllm" not in str(caught.value)
    return str(caught.value)


def test_a_whole_checkpoint_passes(folder):
    VllmPolicy(PolicySettings(model=str(folder))).engine._check()


def test_weights_that_are_a_pointer_of_git_lfs_are_reported(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "model.safetensors is a pointer of git-lfs" in refusal(folder)


def test_a_tokenizer_that_is_a_pointer_of_git_lfs_is_reported(folder):
    (folder / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "tokenizer" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_weights_that_were_cut_short_are_reported(folder, kept):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:kept])
    assert "model.safetensors is broken or cut short" in refusal(folder)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b"[" * 5000])
def test_weights_with_a_broken_header_are_reported(folder, header):
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "model.safetensors is broken or cut short" in refusal(folder)


def test_absent_weights_are_reported(folder):
    (folder / "model.safetensors").unlink()
    assert "has no weights" in refusal(folder)


def test_an_absent_shard_is_reported(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-00002-of-00002.safetensors" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 7}'])
def test_a_broken_tokenizer_is_reported(folder, text):
    (folder / "tokenizer.json").write_text(text)
    assert "The tokenizer of " in refusal(folder)


def test_an_absent_chat_template_is_reported(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(UserError, match="has no chat template"):
        VllmPolicy(PolicySettings(model=str(folder))).prompt(Problem("a", "Start with 4.", "4"))


# --- the hub ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers as the test asks: a status and the hub's own code for it."""
    answers = {}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            status, code = answers["next"]
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    checkpoints.check_reachable.cache_clear()
    yield answers
    server.shutdown()


@pytest.mark.parametrize("status, code, message", [
    (403, "GatedRepo", "is gated: ask for access at http"),
    (401, "GatedRepo", "is gated: ask for access at http"),
    (401, "RepoNotFound", "There is no model 'no-one/no-model' on the hub, or it is private"),
    (404, "EntryNotFound", "has no config.json on the hub"),
])  # fmt: skip
def test_a_hubs_refusal_has_its_own_sentence(hub, status, code, message):
    hub["next"] = status, code
    with pytest.raises(UserError, match=message):
        checkpoints.check_reachable("no-one/no-model")


def test_a_model_that_the_hub_has_passes(hub):
    hub["next"] = 200, ""
    checkpoints.check_reachable("no-one/no-model")


def test_without_a_hub_a_model_that_was_not_downloaded_is_reported_in_seconds(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(UserError, match="The hub cannot be reached .* 'no-one/no-model' was not downloaded before"):
        VllmPolicy(PolicySettings(model="no-one/no-model")).prompt(Problem("a", "Start with 4.", "4"))
    assert time.monotonic() - began < 10


def test_without_a_hub_a_model_that_was_downloaded_is_used_and_nobody_asks_again(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "config.json")
    checkpoints.check_reachable("no-one/no-model")
    assert constants.HF_HUB_OFFLINE and checkpoints.os.environ["HF_HUB_OFFLINE"] == "1"


# --- the script ------------------------------------------------------------------------------------------------------

SCRIPT = """
from tts_study.engines.reasons import check_guard
from tts_study.errors import UserError

def work():
    try:
        check_guard()
        print("passes")
    except UserError as error:
        print(error)

"""


@pytest.mark.parametrize("call, message", [
    ("work()\n", "put what line 12 starts under if __name__"),
    ("for _ in range(1):\n    work()\n", "put what line 12 starts under if __name__"),
    ('if __name__ == "__main__":\n    work()\n', "passes"),
])  # fmt: skip
def test_a_script_without_the_guard_is_reported_before_an_engine_starts(tmp_path, call, message):
    (tmp_path / "script.py").write_text(SCRIPT + call)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert message in done.stdout


# --- what vLLM says --------------------------------------------------------------------------------------------------


def test_a_failed_validation_is_reported_by_its_own_message():
    class Config(pydantic.BaseModel):
        length: int

        @pydantic.field_validator("length")
        @classmethod
        def check(cls, value):
            raise ValueError("max_model_len (9) is greater than the model's own (4)")

    with pytest.raises(pydantic.ValidationError) as caught:
        Config(length=9)
    assert reasons.why_not_started(caught.value) == "max_model_len (9) is greater than the model's own (4)"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TTS_STUDY_CACHE", str(tmp_path))


def engine_process(error):
    """What an engine's process does when it fails: vLLM's functions have its configuration at hand, and log."""
    logger = logging.getLogger("vllm.test")
    logger.propagate, notes = False, reasons.Notes(logging.ERROR)
    logger.addHandler(notes)

    def run_engine_core(vllm_config):
        try:
            raise error
        except Exception:
            logger.exception("EngineCore failed to start.")

    run_engine_core(SimpleNamespace(instance_id="abcde"))
    logger.removeHandler(notes)


def test_an_engines_own_reason_is_reported_and_not_that_there_is_one_above(cache):
    engine_process(ValueError("Free memory on device cuda:0 (3.1/79 GiB) is less than\ndesired"))
    engine_process(RuntimeError("Worker failed, see root cause above"))
    said = RuntimeError(
        "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
    )
    assert reasons.why_not_started(said, "abcde") == "Free memory on device cuda:0 (3.1/79 GiB) is less than desired"
    assert reasons.why_not_started(said, "abcde") == "its process exited with code 1"


async def test_only_want_of_memory_is_answered_with_advice_on_memory(cache):
    llm = SimpleNamespace(
        vllm_config=SimpleNamespace(instance_id="abcde"),
        engine_core=SimpleNamespace(resources=SimpleNamespace(engine_manager=None)),
    )
    engine_process(RuntimeError("CPU Generator does not use offset"))
    assert await reasons.why_lost(llm, 0) == "CPU Generator does not use offset"
    engine_process(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert "lower max_num_seqs" in await reasons.why_lost(llm, 0)


@pytest.mark.parametrize(("said", "lacks_room"), [
    ("World size (4) is larger than the number of available GPUs (1) in this node.", True),
    ("No CUDA GPUs are available", True),
    ("Free memory on device cuda:0 (3.1/79 GiB) is less than desired", True),
    ("No available memory for the cache blocks. Try increasing gpu_memory_utilization", True),
    ("the system killed its process for want of memory: lower max_num_seqs", True),
    ("max_model_len (9) is greater than the model's own (4)", False),
    ("its process exited with code 1", False),
])  # fmt: skip
def test_what_leaves_a_policy_out_of_the_ladder_is_want_of_memory_or_devices(said, lacks_room):
    assert bool(reasons.ROOM.search(said)) == lacks_room


def test_every_error_arrives_from_a_worker_as_it_was_raised():
    for error in (NotInstalled("vllm"), Refused("no", 404), EngineLost("gone"), UserError("wrong")):
        arrived = pickle.loads(pickle.dumps(error))
        assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))


def test_somebody_elses_text_is_shown_in_one_printable_line_of_bounded_length():
    assert one_line("a\x1b[31m\n\tb\x00c\u202e") == "a [31m b c"
    assert len(one_line("x" * 10**7)) == 300
