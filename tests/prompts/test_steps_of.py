"""Which step each piece of a text belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from tts_study.prompts.steps import split_steps, steps_of

PIECES = st.lists(st.sampled_from(["a", "b ", " ", "\n", "\n\n", "\n\n\n", ".\n\n", "\n\nc", ""]), max_size=12)


def test_a_separator_belongs_to_the_step_that_it_ends():
    assert steps_of(["2+3", "=5", "\n\n", "so", " 5", ".\n\n", "5", ""]) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_empty_steps_are_not_counted_and_their_pieces_belong_to_the_step_before():
    assert steps_of(["\n\n", "a", "\n\n", " ", "\n\n", "b", "\n\n", ""]) == [0, 0, 0, 0, 0, 1, 1, 1]
    assert steps_of([]) == [] and steps_of(["\n\n", ""]) == [0, 0]


@given(PIECES)
def test_each_step_of_the_text_is_what_its_own_pieces_say(pieces):
    """Pieces that lie within one step, so that none of them ends in another."""
    steps, of = split_steps("".join(pieces)), steps_of(pieces)
    assert len(of) == len(pieces) and of == sorted(of)
    assert all(place < max(len(steps), 1) for place in of)
    if all("c" not in piece for piece in pieces):
        for place, step in enumerate(steps):
            own = "".join(piece for piece, each in zip(pieces, of, strict=True) if each == place)
            assert own.strip() == step
