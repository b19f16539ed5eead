"""The micro world: problems, the exact checker, the tokenizer, the PRM's labels, and training that can be resumed."""

import json
import random
import re
from fractions import Fraction
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tts_study.micro import mistakes, prm, training
from tts_study.micro.generate import generate, random_problem, split_of
from tts_study.micro.models import CONTEXT, POLICIES, ModelSpec, build_model, deepen
from tts_study.micro.packing import IGNORE, ROW_TOKENS, Document, pack
from tts_study.micro.problems import (
    CHAIN_LENGTHS,
    LEVELS,
    SUBJECTS,
    MicroProblem,
    check_steps,
    parse_problem,
    solutions,
    write_polynomial,
)
from tts_study.micro.records import as_problems
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.prompts import policy as prompts
from tts_study.prompts.prm.rlhflow import rlhflow_tokens

TINY = ModelSpec("tiny", hidden=32, layers=1, steps=6, learning_rate=1e-3)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(CONTEXT)


def problems(count: int) -> list[MicroProblem]:
    return list(islice(generate("validation", 7), count))


def value_at(expression: str, x: Fraction) -> Fraction:
    """An answer's value, by a reader that shares no code with the solver."""
    total = Fraction(0)
    for sign, size, variable in re.findall(r"([+-]?)(\d+(?:/\d+)?)?(x(?:\^2)?)?", expression):
        if size or variable:
            power = {"": 0, "x": 1, "x^2": 2}[variable]
            total += (-1 if sign == "-" else 1) * Fraction(size or 1) * x**power
    return total


def chain_value(problem: MicroProblem, x: Fraction) -> Fraction:
    value = value_at(problem.start, x)
    for symbol, operand in problem.operations:
        right = value_at(operand, x)
        value = {"+": value + right, "-": value - right, "*": value * right}[symbol]
    return value


# --- problems ------------------------------------------------------------------------------------------------------


def test_every_way_to_write_a_solution_boxes_the_chain_s_exact_value():
    for problem in problems(400):
        for way in solutions(problem):
            answer = re.fullmatch(r"\\boxed\{(.+)\}", way[-1])[1]
            for x in (Fraction(3), Fraction(-7, 2), Fraction(11)):
                if problem.subject == "Equations":
                    forwards = MicroProblem("Arithmetic", 1, answer, problem.operations)
                    assert chain_value(forwards, x) == Fraction(problem.start)
                else:
                    assert value_at(answer, x) == chain_value(problem, x)


def test_every_equation_written_in_a_step_holds():
    for problem in problems(200):
        for step in solutions(problem)[0][:-1]:
            for part in step.split(", "):
                left, right = part.split("=")
                if "x" not in part:
                    a, symbol, b = re.fullmatch(r"(\d+)([-+*/])(\d+)", left).groups()
                    a, b = Fraction(a), Fraction(b)
                    assert {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[symbol] == Fraction(right)


def test_a_problem_s_text_reads_back_as_the_problem():
    for problem in problems(400):
        assert parse_problem(problem.text) == problem


@given(st.text())
def test_text_that_is_no_problem_is_refused_and_nothing_else_happens(text):
    with pytest.raises(ValueError, match="not a micro problem"):
        parse_problem(text)


def test_twenty_problems_in_a_row_hold_each_subject_and_level_once():
    kinds = [(problem.subject, problem.level) for problem in problems(40)]
    everything = sorted((subject, level) for subject in SUBJECTS for level in LEVELS)
    assert sorted(kinds[:20]) == sorted(kinds[20:]) == everything


def test_a_level_is_a_length_of_chain():
    rng = random.Random(0)
    for subject in SUBJECTS:
        for level in LEVELS:
            assert len(random_problem(rng, subject, level).operations) == CHAIN_LENGTHS[subject][level - 1]


def test_the_splits_are_disjoint_by_construction():
    for split in ("train", "validation", "test"):
        assert all(split_of(problem.text) == split for problem in islice(generate(split, 0), 200))


def test_the_same_seed_gives_the_same_problems_and_another_seed_others():
    assert problems(20) == problems(20)
    assert problems(20) != list(islice(generate("validation", 8), 20))


@pytest.mark.parametrize(
    ("coefficients", "ascending", "written"),
    [((5, -3, 0), False, "5x^2-3x"), ((1, -1), False, "x-1"), ((-1, 4), True, "4-x"), ((0, 0), False, "0")],
)
def test_polynomials_are_written_without_zero_terms_and_ones(coefficients, ascending, written):
    assert write_polynomial(coefficients, ascending) == written


def test_the_checker_passes_every_prefix_of_every_way_and_nothing_after_a_wrong_step():
    for problem in problems(200):
        for way in solutions(problem):
            assert all(check_steps(problem, way))
            broken = [*way[:1], "1+1=3", *way[1:]]
            assert check_steps(problem, broken) == [True] + [False] * len(way)


def test_the_checker_knows_a_right_looking_step_that_uses_the_wrong_operand():
    problem = parse_problem("Start with 42, subtract 17, multiply by 3.")
    assert check_steps(problem, ["42-17=25", "25*3=75", r"\boxed{75}"]) == [True, True, True]
    assert check_steps(problem, ["42-16=26", "26*3=78", r"\boxed{78}"]) == [False, False, False]
    assert check_steps(problem, ["42-17=25", r"\boxed{25}"]) == [True, False]


# --- tokens --------------------------------------------------------------------------------------------------------


def test_tokens_decode_to_the_text_they_came_from_and_fit_the_context(tokenizer):
    longest = 0
    for problem in as_problems(problems(400), "p"):
        for text in (problem.text, problem.solution):
            assert tokenizer.decode(tokenizer.encode(text)) == text
        steps = problem.solution.split("\n\n")
        longest = max(longest, len(rlhflow_tokens(tokenizer, problem.text, steps)[0]))
    assert longest <= ROW_TOKENS < CONTEXT


def test_a_policy_document_is_the_prompt_that_the_engine_sends_and_a_solution_to_predict(tokenizer):
    problem = problems(1)[0]
    solution = solutions(problem)[0]
    document = training.policy_document(tokenizer, problem, solution)
    prompt = prompts.policy_tokens(tokenizer, problem.text)
    assert tuple(document.tokens[: len(prompt)]) == prompt
    assert document.targets[: len(prompt) - 1] == [IGNORE] * (len(prompt) - 1)
    assert document.targets[len(prompt) - 1 : -1] == document.tokens[len(prompt) :]
    assert tokenizer.decode(document.tokens[len(prompt) : -1]) == "\n\n".join(solution)


def test_a_prm_document_is_what_the_engine_sends(tokenizer):
    for problem in problems(50):
        steps = solutions(problem)[0]
        document = prm.prm_document(tokenizer, problem, steps)
        token_ids, positions = rlhflow_tokens(tokenizer, problem.text, steps)
        assert tuple(document.tokens) == token_ids
        assert [document.verdicts[position] for position in positions] == [1] * len(steps)


def test_the_prm_s_labels_turn_at_the_first_wrong_token_and_stay(tokenizer):
    problem = parse_problem("Start with 42, subtract 17, multiply by 3, add 1, add 1, add 1.")
    document = prm.prm_document(tokenizer, problem, ["42-17=25", "25*3=74", "74+1=75", "75+1=76", "76+1=77"])
    shown = [tokenizer.decode([token]) for token in document.tokens]
    judged = [(text, verdict) for text, verdict in zip(shown, document.verdicts, strict=True) if verdict != IGNORE]
    assert judged[:9] == [*((c, 1) for c in "42-17=25"), ("<|assistant|>", 1)]
    assert judged[9:17] == [*((c, 1) for c in "25*3=7"), ("4", 0), ("<|assistant|>", 0)]
    assert [verdict for _, verdict in judged[17:]] == [0] * (len(judged) - 17)
    assert shown.count("<|assistant|>") == 2 + prm.TAIL_STEPS  # what follows says nothing new
    predicted = [tokenizer.decode([target]) for target in document.targets if target != IGNORE]
    assert predicted == [*"42-17=25", "<|end|>", *"25*3=75"]  # the right digit where a wrong one was written


@given(st.integers(0, 10**6))
def test_an_edit_leaves_a_solution_that_the_checker_can_judge(seed):
    rng = random.Random(seed)
    problem = random_problem(rng, rng.choice(SUBJECTS), rng.choice(LEVELS))
    solution = solutions(problem)[0]
    edited = mistakes.edit(rng, solution)
    assert edited
    assert len(check_steps(problem, edited)) == len(edited)
    assert abs(len(edited) - len(solution)) <= 1


def test_most_edits_are_mistakes():
    rng = random.Random(0)
    wrong = sum(
        not all(check_steps(problem, edited)) or len(edited) != len(solutions(problem)[0])
        for problem in problems(200)
        for edited in [mistakes.edit(rng, solutions(problem)[0])]
    )
    assert wrong > 160


@given(st.integers(0, 10**6))
def test_a_slip_is_one_wrong_number_after_an_equals_sign(seed):
    rng = random.Random(seed)
    problem = random_problem(rng, rng.choice(SUBJECTS), rng.choice(LEVELS))
    solution = solutions(problem)[0]
    slipped = mistakes.slip(rng, solution)
    differing = [(a, b) for a, b in zip(solution, slipped, strict=True) if a != b]
    assert len(differing) <= 1  # 1 - 2 is -1, whose size is 1 again
    assert all(a.split("=")[0] == b.split("=")[0] for a, b in differing)


# --- training ------------------------------------------------------------------------------------------------------


def test_packed_documents_do_not_see_each_other():
    torch.manual_seed(0)
    model = build_model(TINY, seed=0).eval()
    long, short = Document([7, 8, 9, 10, 11], [IGNORE] * 5), Document([12, 13, 14], [IGNORE] * 3)
    batch = pack([long, short])
    packed = model(batch.tokens[:1], attention_mask=batch.mask[:1], position_ids=batch.positions[:1]).logits[0]
    alone = model(torch.tensor([short.tokens])).logits[0]
    torch.testing.assert_close(packed[5:8], alone)


def test_packing_keeps_every_document_whole_until_one_fits_nowhere():
    documents = [Document([i] * 100, [i] * 100) for i in range(1, 60)]
    batch = pack(iter(documents))
    assert [int((batch.tokens == i).sum()) for i in range(1, 33)] == [100] * 32  # 16 rows with room for two each
    assert int((batch.tokens > 32).sum()) == 0


def test_training_that_was_interrupted_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    monkeypatch.setattr(training, "exact_match", lambda *_: [0.0])
    training.train_policy(TINY, tmp_path / "whole", seed=3)

    batch_of, calls = training.policy_batch, iter(range(100))

    def dies(*args):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return batch_of(*args)

    monkeypatch.setattr(training, "policy_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        training.train_policy(TINY, tmp_path / "resumed", seed=3)
    assert (tmp_path / "resumed" / "checkpoint.pt").exists()
    monkeypatch.setattr(training, "policy_batch", batch_of)
    training.train_policy(TINY, tmp_path / "resumed", seed=3)

    whole, resumed = ((tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "resumed"))
    assert whole == resumed
    steps = [json.loads(line)["step"] for line in (tmp_path / "resumed" / "log.jsonl").open()]
    assert steps == [2, 4, 6]


@pytest.mark.parametrize(("imitated", "dtype"), [(False, torch.bfloat16), (True, torch.float32)])
def test_training_does_not_use_bf16_where_the_processor_imitates_it(imitated, dtype, monkeypatch):
    monkeypatch.setattr(training, "imitates_bf16", lambda: imitated)
    with training.precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_deepened_model_begins_by_saying_what_the_policy_says():
    torch.manual_seed(0)
    policy = build_model(TINY, seed=0).eval()
    tokens = torch.randint(0, 100, (2, 20))
    torch.testing.assert_close(deepen(policy, 3).eval()(tokens).logits, policy(tokens).logits)


def test_the_ladder_keeps_the_real_ratios_of_size():
    sizes = {spec.name: sum(p.numel() for p in build_model(spec, 0).parameters()) for spec in POLICIES}
    assert 2 < sizes["3b"] / sizes["1b"] < 4
    assert 7 < sizes["8b"] / sizes["1b"] < 11
    assert sizes["70b"] / sizes["1b"] > 20


def test_judge_learns_from_a_batch(tokenizer):
    torch.manual_seed(0)
    judge = prm.Judge(build_model(TINY, seed=0), tokenizer)
    batch = prm.prm_batch(tokenizer, [("Start with 42, subtract 17.", "42-17=25\n\n\\boxed{24}")], "x", hard=False)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = judge.loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
