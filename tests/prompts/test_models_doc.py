"""docs/models.md says what each profile's models need; `python tests/prompts/test_models_doc.py` prints its table."""

from pathlib import Path

import pytest

from tts_study.engines.shapes import kv_bytes, shape_of
from tts_study.profiles import PROFILES, Profile, load_profile
from tts_study.prompts.prm import FORMATS

DOC = Path(__file__).parents[2] / "docs" / "models.md"
GPU = 80e9  # bytes
LADDERS = [PROFILES[name] for name in ("llama", "qwen2.5", "qwen2.5-math")]


def fitting(model: str, share: float, gpus: int, context: int) -> tuple[float, float, int]:
    """GB of weights, KiB of KV cache a token, and how many sequences that fill the context fit beside the weights."""
    shape = shape_of(model)
    token = kv_bytes(shape, 1)
    weights = 2 * shape.parameters
    return weights / 1e9, token / 2**10, int((share * GPU * gpus - weights) / (token * context))


def row(ladder: Profile, policy: str) -> str:
    profile = load_profile(ladder, policy=policy).resolved()
    gpus, context = profile.tensor_parallel_size, profile.max_model_len
    weights, token, sequences = fitting(profile.policy_model, profile.policy_memory, gpus, context)
    _, _, scored = fitting(profile.prm_model, profile.prm_memory, gpus, context)
    split = f"{gpus} × ({profile.policy_memory}, {profile.prm_memory})"
    return f"| `{ladder.name}` | {policy} | {weights:.1f} GB | {token:.0f} KiB | {split} | {sequences} | {scored} |"


def rows() -> list[str]:
    return [row(ladder, policy) for ladder in LADDERS for policy in ladder.policies]


def test_the_documented_memory_is_what_the_formula_gives():
    written = [line for line in DOC.read_text().splitlines() if "KiB | " in line and " × " in line]
    assert written == rows()


@pytest.mark.parametrize("line", rows())
def test_every_policy_has_room_for_a_batch(line):
    sequences, scored = map(int, line.split("|")[-3:-1])
    assert sequences >= 32 and scored >= 32


def test_every_family_and_its_published_models_are_documented():
    text = DOC.read_text()
    for prm_format in FORMATS.values():
        assert f"`{prm_format.name}`" in text
        assert all(model in text for model in prm_format.models)


if __name__ == "__main__":
    print("\n".join(rows()))
