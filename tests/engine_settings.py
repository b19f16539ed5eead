"""What the engines of tests have in common."""

SHARED = {"max_model_len": 512, "max_num_seqs": 64, "block_size": 16, "kv_cache_gib": 0.25}
