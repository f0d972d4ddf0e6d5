"""Pairs of least cost: costs (n, m) in, a partner for each of the smaller side out. Pure."""

import numpy as np


def cheapest_pairs(cost: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) pairs, min(n, m) of them, whose costs (n, m, finite) sum to the least.

    Kuhn's Hungarian method by shortest augmenting paths (Jonker & Volgenant 1987), O(n² m).
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in cheapest_pairs(cost.T))
    price_row, price_column = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, dtype=int)
    """Row (from 1) that has each column (from 1); 0: none. Column 0 is where a path begins."""
    for row in range(1, rows + 1):
        owner[0], place = row, 0
        least, seen = np.full(columns + 1, np.inf), np.zeros(columns + 1, dtype=bool)
        came_from = np.zeros(columns + 1, dtype=int)
        while owner[place]:
            seen[place] = True
            reduced = cost[owner[place] - 1] - price_row[owner[place]] - price_column[1:]
            better = ~seen[1:] & (reduced < least[1:])
            least[1:][better] = reduced[better]
            came_from[1:][better] = place
            following = int(np.argmin(np.where(seen[1:], np.inf, least[1:]))) + 1
            step = least[following]
            price_row[owner[seen]] += step
            price_column[seen] -= step
            least[~seen] -= step
            place = following
        while place:
            owner[place] = owner[came_from[place]]
            place = int(came_from[place])
    return sorted((int(owner[column]) - 1, column - 1) for column in range(1, columns + 1) if owner[column])
