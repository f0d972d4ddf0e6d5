"""The floor under every room: figure record, prompt, model, explanation."""
