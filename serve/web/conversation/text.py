"""The line below an answer."""


def answer_status(completion_tokens: int | None, seconds: float, finish_reason: str | None) -> str:
    """How long the answer took and why it ended."""
    tokens = f"{completion_tokens} tokens in " if completion_tokens is not None else ""
    cut = " · cut at the length limit (see Answer settings)" if finish_reason == "length" else ""
    return f"{tokens}{seconds:.1f} s{cut}"
