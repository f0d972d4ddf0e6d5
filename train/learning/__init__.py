"""What learns and how: loading, parts and stages, LoRA, new tokens, attention, the loss, cached features."""
