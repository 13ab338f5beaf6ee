"""Model strings to running models: transformers, quantisation, LoRA stacks, the bundled family."""
