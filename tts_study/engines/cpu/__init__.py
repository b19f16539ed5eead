"""What serves small models on a CPU: a sampler, an executor, small cache blocks, bursts. A GPU never loads it."""
