"""What the API asks of its callers and how much it takes on."""

from dataclasses import dataclass, field

from serve.api.keys import ApiKey
from serve.http.fetch import FetchLimits


@dataclass(frozen=True, kw_only=True)
class ApiOptions:
    """Who may call, how often, and what a request may hold."""

    keys: tuple[ApiKey, ...] | None = None
    """None: nobody needs a key (a server that only this machine reaches). Empty: nobody gets in."""
    requests_per_minute: int | None = None
    """Of one key; None: any number."""
    tokens_per_minute: int | None = None
    """Of one key, prompt and answers together; None: any number."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may call (CORS), such as https://example.org; "*": all of them."""
    fetch: FetchLimits | None = field(default_factory=FetchLimits)
    """How image URLs are fetched; None: they are refused, images come as data URIs only."""
    max_body: int = 64 * 2**20
    """Bytes of a request."""
    paper_patience_s: float = 2.0
    """s for which a report waits for its paper before it begins to answer: what fails until then has a status of its own."""
    max_choices: int = 8
    """Answers to one request (`n`)."""
    max_requests: int = 256
    """Requests at once; the next one hears "overloaded"."""
