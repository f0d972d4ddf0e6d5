"""A trace and utterances in, words with boxes out: by clusters, as published, or by the utterances' own time."""

from __future__ import annotations

from collections.abc import Sequence

from scicap_builder.narratives.clusters import DEFAULT_CLUSTERS, ClusterOptions, Trace, clustered
from scicap_builder.narratives.own_time import own_time
from scicap_builder.narratives.speech import Utterance
from scicap_builder.narratives.text import Narrated


def localize(
    trace: Trace,
    utterances: Sequence[Utterance],
    options: ClusterOptions = DEFAULT_CLUSTERS,
    *,
    caption: str = "",
    size: tuple[int, int] | None = None,
) -> tuple[Narrated, ...]:
    """See `clustered`, of which `caption` and `size` are, and `own_time`."""
    if options.boxes == "own-time":
        return own_time(trace, utterances, options, size)
    return clustered(trace, utterances, options, caption=caption, size=size)
