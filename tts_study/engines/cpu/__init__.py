"""What makes small models fast on a CPU: a sampler, an executor, small cache blocks, bursts. A GPU never loads it."""
