"""Seeded sampling by noise: the right distribution, and nothing that it depends on but seed, position and token."""

import pytest
import torch
from scipy.stats import chisquare
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from tts_study.engines.cpu.noise import SeededNoise, gumbel
from tts_study.engines.cpu.sampling import with_noise

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0, 1.5])


def sampling(seed, temperature, top_p=1.0):
    return {"temperature": temperature, "top_p": top_p, "seed": seed, "max_tokens": 5}


def processor(*rows):
    """One that follows a batch of (seed, temperature, tokens so far); None is a request that wants no noise."""
    one = SeededNoise(None, torch.device("cpu"), False)
    params = [SamplingParams(**with_noise(sampling(*row[:2]) if row else sampling(0, 0.0))) for row in rows]
    added = [(i, p, [1], row[2] if row else []) for i, (p, row) in enumerate(zip(params, rows, strict=True))]
    one.update_state(BatchUpdate(batch_size=len(rows), removed=[], added=added, moved=[]))
    return one


def test_samples_follow_the_softmax_at_the_temperature():
    draws = 20_000
    for temperature in (0.5, 1.0, 2.0):
        noise = gumbel(torch.arange(draws), torch.zeros(draws, dtype=torch.int64), len(LOGITS))
        counts = torch.bincount((LOGITS / temperature + noise).argmax(1), minlength=len(LOGITS))
        assert chisquare(counts, torch.softmax(LOGITS.double() / temperature, 0) * draws).pvalue > 1e-3


def test_the_positions_of_one_seed_are_as_random_as_the_seeds():
    draws = 20_000
    noise = gumbel(torch.full((draws,), 7), torch.arange(draws), len(LOGITS))
    counts = torch.bincount((LOGITS + noise).argmax(1), minlength=len(LOGITS))
    assert chisquare(counts, torch.softmax(LOGITS.double(), 0) * draws).pvalue > 1e-3
    assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.03
    assert abs(torch.corrcoef(torch.stack([noise[1:, 0], noise[:-1, 0]]))[0, 1]) < 0.03


@pytest.mark.parametrize("value", [
    7, "7", [], [7], [7, 1.0, 2], ["7", 1.0], [7, "1"], [7.5, 1.0], [True, 1.0], [7, True], [-1, 1.0], [2**63, 1.0],
    [7, 0.0], [7, -1.0], [7, float("nan")], [7, float("inf")], {"seed": 7}, [[7], 1.0], [None, None], 0, "", False,
    [7, 1e39], [7, 10**9], [7, 1e-40], [7, 5e-324],  # as float32: infinite, no number, or about 0
])  # fmt: skip
def test_malformed_noise_is_refused_where_a_request_comes_in(value):
    with pytest.raises(ValueError, match="seeded_noise must be a seed .* and a temperature"):
        SeededNoise.validate_params(SamplingParams(extra_args={"seeded_noise": value}))


@pytest.mark.parametrize("extra", [None, {}, {"seeded_noise": [0, 0.5]}, {"seeded_noise": (2**63 - 1, 2)}])
def test_good_noise_and_none_come_in(extra):
    SeededNoise.validate_params(SamplingParams(extra_args=extra))


def test_noise_is_finite_however_large_the_seed():
    seeds = torch.tensor([0, 1, 2**62, 2**63 - 1])
    assert gumbel(seeds, torch.arange(4), 1000).isfinite().all()


def test_a_row_does_not_depend_on_its_place_nor_on_the_others():
    row, other = (123, 0.7, [5, 6]), (9, 1.0, [])
    alone = processor(row).apply(LOGITS.repeat(1, 1))[0]
    among = processor(other, row, None).apply(LOGITS.repeat(3, 1))
    torch.testing.assert_close(among[1], alone)
    torch.testing.assert_close(among[2], LOGITS)  # greedy stays greedy
    assert not torch.equal(among[0], among[1])


def test_the_noise_changes_with_each_token_written():
    tokens = [5]
    one = processor((123, 1.0, tokens))
    before = one.apply(LOGITS.repeat(1, 1))
    tokens.append(6)
    assert not torch.equal(one.apply(LOGITS.repeat(1, 1)), before)


def test_requests_are_followed_when_they_move_and_leave():
    first, second = (1, 1.0, []), (2, 1.0, [])
    one = processor(first, second)
    expected = one.apply(LOGITS.repeat(2, 1))
    moved = BatchUpdate(batch_size=1, removed=[0], added=[], moved=[(1, 0, MoveDirectionality.UNIDIRECTIONAL)])
    one.update_state(moved)
    torch.testing.assert_close(one.apply(LOGITS.repeat(1, 1))[0], expected[1])


def test_a_nucleus_is_left_to_vllm_and_so_is_greedy_decoding():
    for left in (sampling(5, 0.8, top_p=0.9), sampling(5, 0.0), sampling(5, 1e-6)):
        assert with_noise(left) == left
    taken = SamplingParams(**with_noise(sampling(5, 0.8)))
    assert taken.temperature == 0 and taken.seed is None and taken.extra_args == {"seeded_noise": (5, 0.8)}
