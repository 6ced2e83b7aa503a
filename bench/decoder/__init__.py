"""The decoder that `foveate bench` measures, in PyTorch for the CPU, written twice."""
