"""Parameters counted by hand and in files, FLOPs and memory by hand, and the cost of a part of a run."""

import json
import struct
from dataclasses import astuple, replace

import numpy as np
import pytest

from tts_study import paths
from tts_study.analysis import cost
from tts_study.analysis.cost import policy_flops, prm_flops, seconds_at, tokens_at
from tts_study.analysis.estimators import pass_at_k
from tts_study.engines import shapes
from tts_study.engines.shapes import Shape, from_config, kv_bytes, shape_of
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Node, Problem, SearchResult
from tts_study.runs.store import Run

MICRO = ("1b", "3b", "8b", "70b", "prm")
# 2 layers of 30 weights, an embedding and a head of 20 each
SMALL = Shape(parameters=100, embedding=20, head=20, tied=False, layers=2, query_width=3, kv_width=2,
              weight_bytes=200)  # fmt: skip
SPENT = Cost(generated=10, prompt=5, prompt_cached=7, scored=12, scored_cached=3)
TOKENS = [*astuple(SPENT), 0, 0]


def test_the_policy_computes_its_prompt_and_predicts_and_reads_what_it_generates():
    assert SMALL.body == 60
    assert policy_flops(TOKENS, SMALL) == 2 * 60 * (10 + 5) + 2 * 20 * 10


def test_the_prm_reads_what_it_scores_and_predicts_nothing():
    assert prm_flops(TOKENS, SMALL) == 2 * 60 * 12


def test_attention_multiplies_each_query_with_the_keys_and_values_of_its_context_in_each_layer():
    attending = [*astuple(SPENT), 100, 1000]
    assert policy_flops(attending, SMALL) - policy_flops(TOKENS, SMALL) == 2 * (2 + 2) * 3 * 100
    assert prm_flops(attending, SMALL) - prm_flops(TOKENS, SMALL) == 2 * (2 + 2) * 3 * 1000


def test_cached_tokens_are_not_computed():
    free = [10, 5, 700, 12, 300, 0, 0]
    assert policy_flops(free, SMALL) == policy_flops(TOKENS, SMALL) and prm_flops(free, SMALL) == prm_flops(
        TOKENS, SMALL
    )


def test_a_tied_head_is_part_of_the_parameters_once_and_is_computed():
    tied = Shape(parameters=80, embedding=20, head=20, tied=True, layers=2, query_width=3, kv_width=2,
                 weight_bytes=160)  # fmt: skip
    assert tied.body == 60 and policy_flops([1, 0, 0, 0, 0, 0, 0], tied) == 2 * 80


def test_flops_are_taken_along_the_last_axis():
    assert policy_flops(np.tile(TOKENS, (3, 2, 1)), SMALL).shape == (3, 2)


def test_the_kv_cache_contains_a_key_and_a_value_for_each_layer_and_token():
    assert kv_bytes(SMALL, 10) == 2 * 2 * 2 * 2 * 10
    assert kv_bytes(SMALL, 10, "float32") == 2 * kv_bytes(SMALL, 10)


@pytest.mark.parametrize("name", MICRO)
def test_a_checkpoints_config_and_its_files_tell_the_same(name):
    folder = paths.data() / "micro" / name
    shape = shape_of(str(folder))
    assert shape == from_config(json.loads((folder / "config.json").read_text()), name)
    # the rest of the file is its header
    size = (folder / "model.safetensors").stat().st_size
    header = struct.unpack("<Q", (folder / "model.safetensors").read_bytes()[:8])[0]
    assert shape.weight_bytes == size - header - 8 == 2 * shape.parameters


def test_the_llama_ladder_has_its_published_sizes_without_a_hub():
    sizes = {name.split("/")[1].split("-Instruct")[0]: shape_of(name).parameters for name in shapes.KNOWN}
    # as the hub shows them beside each model's safetensors
    assert sizes["Llama-3.2-1B"] == 1_235_814_400 and sizes["Llama-3.2-3B"] == 3_212_749_824
    assert sizes["Llama-3.1-8B"] == 8_030_261_248 and sizes["Llama-3.1-70B"] == 70_553_706_496
    # 2 (key and value) * 2 bytes * 32 layers * 8 heads * 128
    assert kv_bytes(shape_of("meta-llama/Llama-3.1-8B-Instruct"), 1) == 131_072


def test_qwen_has_biases_and_llamas_cousins_their_own_head_width():
    config = {"num_hidden_layers": 24, "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14,
              "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True}  # fmt: skip
    qwen = from_config(config | {"model_type": "qwen2"}, "Qwen/Qwen2.5-0.5B-Instruct")
    assert qwen.parameters == 494_032_768  # as the hub shows it
    wide = from_config(config | {"model_type": "llama", "head_dim": 128}, "wide")
    assert wide.kv_width == 2 * 128


@pytest.mark.parametrize(
    ("config", "message"),
    [({"model_type": "mamba"}, "'mamba'"), ({}, "None"), ({"model_type": "llama"}, "num_hidden_layers")],
)
def test_what_is_not_built_like_llama_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        from_config(config, "some/model")


@pytest.mark.parametrize("content", [None, "[", "[]"])
def test_a_folder_without_a_config_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="cannot read .*config.json"):
        shape_of(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b"{"])
def test_a_broken_weights_file_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text((paths.data() / "micro/1b/config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a safetensors file"):
        shape_of(str(tmp_path))


def test_an_unreachable_model_is_refused(monkeypatch):
    import huggingface_hub

    def unreachable(*_: object) -> str:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(UserError, match="'no/such-model'"):
        shape_of("no/such-model")


def completion(*steps: str, tokens: int = 10) -> Completion:
    return Completion(steps, tokens, True, (0.5,) * len(steps))


def run_of(*completions: Completion, subtree: int = 1, spent: Cost = SPENT) -> Run:
    result = SearchResult("p", completions, spent, subtree=subtree)
    return Run({}, (Problem("p", "?", "1"),), (result,), seconds=2.0)


def spent(run: Run, n: int, method: cost.Rule = "best") -> Cost:
    return Cost(*tokens_at(run, n, method)[0, : len(cost.COUNTED)].tolist())


def test_all_completions_cost_what_the_run_counted():
    run = run_of(completion("a"), completion("b"), completion("a"))
    assert spent(run, 3) == run.results[0].cost


def test_of_a_search_a_part_costs_its_part():
    run = run_of(*[completion("a")] * 4, subtree=2, spent=Cost(40, 20, 8, 100, 60))
    assert spent(run, 2) == Cost(20, 10, 4, 50, 30) == spent(run, 2, "majority")


def test_the_first_prompt_is_computed_and_the_others_as_far_as_the_cache_does_not_supply_them():
    # 4 samples with a prompt of 10 tokens: 10 computed by the first, 2 by each other
    run = run_of(*[completion("a")] * 4, spent=Cost(40, 16, 24, 11, 0))
    assert [(spent(run, n).prompt, spent(run, n).prompt_cached) for n in (1, 2, 4)] == [(10, 0), (12, 8), (16, 24)]


def test_where_the_first_prompt_is_cached_too_nothing_is_computed_twice():
    run = run_of(*[completion("a")] * 4, spent=Cost(40, 4, 36, 11, 0))  # a system prompt that all problems share
    assert [(spent(run, n).prompt, spent(run, n).prompt_cached) for n in (1, 4)] == [(4, 6), (4, 36)]


def test_equal_solutions_are_scored_once_so_that_fewer_samples_cost_more_each():
    run = run_of(*[completion("a")] * 3, completion("b", tokens=20), spent=Cost(50, 40, 0, 60, 0))
    # "a" holds 20 of the 60 scored tokens and is among one sample 3 times of 4, "b" holds 40
    assert spent(run, 1).scored == pytest.approx(20 * 3 / 4 + 40 * 1 / 4)
    assert spent(run, 2).scored == pytest.approx(20 * 1 + 40 * 1 / 2)


def test_a_vote_of_samples_asks_no_prm_and_one_within_a_search_has_asked_it():
    run = run_of(completion("a"), completion("b"))
    assert spent(run, 2, "majority").scored == spent(run, 1, "pass").scored == 0
    assert spent(run, 2, "majority").generated == 10
    assert spent(run_of(completion("a"), completion("b"), subtree=2), 2, "majority").scored == 12


def test_solutions_without_a_step_are_not_scored():
    run = run_of(completion(), completion(), spent=Cost(2, 5, 5, 0, 0))
    assert spent(run, 1).scored == 0
    assert pass_at_k([[True, False]], 1)[0] == 0.5  # and one of two that has steps counts with its chance
    assert spent(run_of(completion(), completion("a")), 1).scored == pytest.approx(12 / 2)


def test_seconds_are_shared_out_and_unknown_where_the_run_does_not_tell():
    run = run_of(*[completion("a")] * 4)
    assert seconds_at(run, 1) == 0.5
    judged = replace(run, header=run.header | {"prm": {"model": "m"}})
    assert seconds_at(judged, 1) == 0.5 and np.isnan(seconds_at(judged, 1, "majority")), "the PRM took a part of them"
    assert np.isnan(seconds_at(Run(run.header, run.problems, run.results), 1))


def attended(run: Run, n: int) -> list[float]:
    return tokens_at(run, n, "best")[0, len(cost.COUNTED) :].tolist()


def by_hand(*spans: tuple[int, int]) -> int:
    """Tokens attended to by those between two places of a text, each of them to itself and to all before."""
    return sum(place + 1 for start, end in spans for place in range(start, end))


def test_samples_attend_to_their_prompt_and_to_what_they_generated_before():
    # a prompt of 6 tokens; the first request computes it, the other its last 2
    run = run_of(completion("a", tokens=3), completion("b", tokens=5), spent=Cost(8, 8, 4, 22, 0))
    generated = by_hand((6, 9), (6, 11))
    prompts = by_hand((2, 6), (2, 6))  # 8 tokens in equal shares of 4, at the ends of the two prompts
    assert attended(run, 2) == pytest.approx([generated + prompts, 22 * generated / 8])
    alone = run_of(completion("a", tokens=3), spent=Cost(3, 6, 0, 9, 0))
    assert attended(alone, 1)[0] == by_hand((0, 9))
    assert attended(run, 1)[0] == pytest.approx(generated / 2 + by_hand((0, 6))), "one of them, on average"


def test_steps_of_a_tree_attend_to_the_prompt_and_to_the_steps_that_they_continue():
    tree = (
        Node(None, "a", 4, 0.5, 0.5, "kept"),
        Node(None, "b", 2, 0.5, 0.5, "pruned", ahead=3),
        Node(0, "c", 5, 0.5, 0.5, "finished"),
    )
    # the prompt has 10 tokens; four requests read 10, 10, 12 and 14, and everything but the first prompt was cached
    cost_of = Cost(generated=14, prompt=10, prompt_cached=36, scored=7)
    result = SearchResult("p", (completion("a", "c", tokens=9),), cost_of, tree)
    run = Run({}, (Problem("p", "?", "1"),), (result,))
    generated = by_hand((10, 14), (10, 12), (12, 15), (14, 19))
    prefixes = 10 * (46 / 4 - (10 / 4 - 1) / 2)  # 2.5 tokens at the end of each prefix
    assert attended(run, 1) == pytest.approx([generated + prefixes, 7 * generated / 14])


def test_a_search_that_generated_nothing_attends_to_its_prompt():
    assert attended(run_of(completion(tokens=0), spent=Cost(0, 5, 0, 0, 0)), 1) == [by_hand((0, 5)), 0]


def test_more_than_the_run_has_and_ragged_runs_are_refused():
    run = run_of(completion("a"))
    with pytest.raises(UserError, match="n = 2 of 1"):
        tokens_at(run, 2, "best")
    ragged = Run({}, run.problems * 2, (run.results[0], SearchResult("q", (), Cost())))
    with pytest.raises(UserError, match=r"equally many .*\[0, 1\]"):
        tokens_at(ragged, 1, "best")
