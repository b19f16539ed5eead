from benchmarks.faults import AGAIN, FAULTS, RESUMED, SENTENCE, run_faults


def test_every_fault_ends_in_a_sentence_or_is_resumed_within_its_limit():
    table, good = run_faults(tries=1, seed=1)
    assert good, table
    for fault in FAULTS:
        assert f"| {fault.name} | " in table
    assert sum(map(table.count, (SENTENCE, RESUMED, AGAIN))) == len(FAULTS)
