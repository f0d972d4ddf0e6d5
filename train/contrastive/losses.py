"""The losses of contrastive pretraining as pure functions. In: features of length one, or similarities. Out: scalars.

Sources: InfoNCE as in CLIP (Radford et al. 2021, figure 3); ITA and ITM as in ALBEF (Li et al. 2021, section 3.2) and BLIP
(Li et al. 2022, section 3.2), which PA-LLaVA's PLIP stage is written after.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import cross_entropy, log_softmax, one_hot, softmax

FLOOR = 1e-4
"""Added to each chance of a hard negative (BLIP): no row is left without one where softmax gives zeros."""


def info_nce(
    features: tuple[torch.Tensor, torch.Tensor],
    keys: tuple[torch.Tensor, torch.Tensor],
    temperature: torch.Tensor,
    first: int = 0,
) -> torch.Tensor:
    """CLIP's loss of n pairs against m: the mean over both directions of -log softmax(similarity / temperature) of the pair.

    Each argument is (of images, of texts): `features` (n, d), and `keys` (m, d), whose rows `first` … `first` + n are the pairs.
    """
    (image, text), (images, texts) = features, keys
    pair = torch.arange(first, first + len(image), device=image.device)
    to_texts, to_images = image @ texts.T / temperature, text @ images.T / temperature
    return (cross_entropy(to_texts, pair) + cross_entropy(to_images, pair)) / 2


def soft_targets(similarity: torch.Tensor, alpha: float, first: int = 0) -> torch.Tensor:
    """(n, m) what each row should give to each column: the pair 1 - alpha, and alpha as the momentum encoders see it.

    `similarity` (n, m) is theirs, divided by the temperature; column `first` + i is the pair of row i (ALBEF, equation 6).
    """
    pair = torch.arange(first, first + len(similarity), device=similarity.device)
    return alpha * softmax(similarity, dim=1) + (1 - alpha) * one_hot(pair, similarity.shape[1])


def soft_cross_entropy(similarity: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean over rows of -sum(targets · log softmax(similarity)); both (n, m)."""
    return -(log_softmax(similarity, dim=1) * targets).sum(1).mean()


def ita_loss(
    features: tuple[torch.Tensor, torch.Tensor],
    momentum: tuple[torch.Tensor, torch.Tensor],
    keys: tuple[torch.Tensor, torch.Tensor],
    temperature: torch.Tensor,
    *,
    alpha: float,
    first: int = 0,
) -> torch.Tensor:
    """Image-text alignment: both directions against what momentum encoders made of this batch and of those in the queue.

    Each argument is (of images, of texts): `features` (n, d) learn; `momentum` (n, d) are the same pairs by the momentum
    encoders; `keys` (m, d) hold all batches of the step by them, this one from row `first` on, and then the queue.
    """
    image, text = features
    images, texts = keys
    with torch.no_grad():
        to_texts = soft_targets(momentum[0] @ texts.T / temperature, alpha, first)
        to_images = soft_targets(momentum[1] @ images.T / temperature, alpha, first)
    image_loss = soft_cross_entropy(image @ texts.T / temperature, to_texts)
    return (image_loss + soft_cross_entropy(text @ images.T / temperature, to_images)) / 2


def sample_negatives(similarity: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """(n,) for each row the column of a hard negative, drawn by softmax of its similarity; -1 where every column is the pair's.

    `similarity` (n, m) is divided by the temperature. `same` (n, m) bool marks what is never a negative: the pair itself,
    another pair of the same image, or of the same words. Of a row with NaN every column is as likely: its loss tells of it.
    """
    # multinomial refuses NaN, on a GPU by ending the process.
    chances = (softmax(similarity.float(), dim=1).nan_to_num() + FLOOR).masked_fill(same, 0.0)
    none = same.all(1)
    # multinomial refuses a row of zeros.
    drawn = torch.multinomial(chances.masked_fill(none[:, None], 1.0), 1).squeeze(1)
    return drawn.masked_fill(none, -1)


def itm_loss(logits: torch.Tensor, matched: torch.Tensor) -> torch.Tensor:
    """Image-text matching: cross-entropy of the two-way head, `logits` (k, 2) over (no pair, pair), `matched` (k,) 0 or 1."""
    return cross_entropy(logits.float(), matched)


def ramped(alpha: float, step: int, steps: float) -> float:
    """`alpha` after `step` steps of a linear rise over `steps` (ALBEF: those of the first epoch; BLIP: of the first two)."""
    return alpha if step >= steps else alpha * step / steps


@torch.no_grad()
def follow(momentum: Iterable[torch.Tensor], weights: Iterable[torch.Tensor], share: float) -> None:
    """Each momentum weight becomes `share` of itself and 1 - `share` of the weight that learns, in place (MoCo, equation 2)."""
    torch._foreach_lerp_(list(momentum), list(weights), 1 - share)
