"""What must be the same on every machine of a run."""

import shutil

import pytest

from tts_study.errors import UserError
from tts_study.paths import data
from tts_study.profiles import load_profile
from tts_study.runs.identity import check_equal, software, software_and_weights


@pytest.fixture
def elsewhere(tmp_path):
    """A profile like micro's, whose PRM is another machine's copy with one byte of its weights changed."""
    shutil.copytree(data() / "micro" / "prm", tmp_path / "prm")
    weights = tmp_path / "prm" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return load_profile("micro", prm=str(tmp_path / "prm"))


def test_a_machine_with_other_weights_is_refused_by_the_model_that_differs(elsewhere):
    here = software_and_weights(load_profile("micro"), needs_prm=True)
    with pytest.raises(UserError, match=r"^the digest of the PRM's weights is \w{12} on .* and \w{12} where the run"):
        check_equal(here, software_and_weights(elsewhere, needs_prm=True))
    check_equal(here, software_and_weights(load_profile("micro"), needs_prm=True))


def test_the_weights_of_a_prm_do_not_matter_where_none_is_asked(elsewhere):
    here = software_and_weights(load_profile("micro"), needs_prm=False)
    check_equal(here, software_and_weights(elsewhere, needs_prm=False))
    assert set(here) == {*software(), "digest of the policy's weights"}
