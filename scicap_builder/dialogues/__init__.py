"""Dialogues about figures, written by a teacher: a model behind any OpenAI-compatible endpoint (`docs/dialogues.md`)."""
