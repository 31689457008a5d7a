"""Drawing batches that consist of several windows from each of a few groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revalexo_clip.data.windows import Floats, Ints


def grouped(group_N: Ints, windows: int, groups: int, rng: np.random.Generator) -> Ints:
    """Return [batches, groups * windows]: each batch has `windows` windows from each of `groups` different groups.

    Each batch draws from the groups with the most windows left, so that as few as possible are left over at the end.
    """
    order_N = rng.permutation(len(group_N))
    order_N = order_N[np.argsort(group_N[order_N], kind="stable")]  # by group, shuffled within
    size_G = np.bincount(group_N)
    chosen_BG = _chosen(size_G // windows, groups, rng)
    chosen_BG = chosen_BG[rng.permutation(len(chosen_BG))]
    return order_N[_places(chosen_BG, np.cumsum(size_G) - size_G, windows)]


def _chosen(left_G: Ints, groups: int, rng: np.random.Generator) -> Ints:
    """Return [batches, groups], the groups of each batch: those that can be chosen most often from now on.

    `left_G` is how often each group can be chosen. A group gets a random number at first and with each batch, which
    decides among groups with equally many choices left. All batches that only take groups with equally many left are
    made at once, so the time is that of sorting.
    """
    number_G = rng.random(len(left_G))
    waiting: list[list[tuple[Floats, Ints]]] = [[] for _ in range(int(left_G.max(initial=0)) + 1)]
    order_G = np.argsort(left_G, kind="stable")
    for of_level_E in np.split(order_G, np.flatnonzero(np.diff(left_G[order_G])) + 1):
        waiting[left_G[of_level_E[0]]].append((number_G[of_level_E], of_level_E))
    chosen_BG, remaining = [np.empty((0, groups), dtype=np.int64)], int(np.count_nonzero(left_G))
    for level in range(len(waiting) - 1, 0, -1):
        _, group_E = _sorted(waiting[level])
        count = len(group_E) // groups * groups
        if count:
            chosen_BG.append(group_E[:count].reshape(-1, groups))
            waiting[level - 1].append((rng.random(count), group_E[:count]))
            remaining -= count if level == 1 else 0
        if not len(rest_E := group_E[count:]):
            continue
        if remaining < groups:
            break
        batch, levels = [rest_E], [np.full(len(rest_E), level)]
        for lower in range(level - 1, 0, -1):  # the batch is completed by groups with fewer left
            number_E, group_E = _sorted(waiting[lower])
            taken = min(groups - sum(map(len, batch)), len(group_E))
            batch.append(group_E[:taken])
            levels.append(np.full(taken, lower))
            waiting[lower] = [(number_E[taken:], group_E[taken:])]
            if sum(map(len, batch)) == groups:
                break
        number_C, group_C, level_C = rng.random(groups), np.concatenate(batch), np.concatenate(levels)
        chosen_BG.append(group_C[None])
        for lower in np.unique(level_C).tolist():
            here_C = level_C == lower
            waiting[lower - 1].append((number_C[here_C], group_C[here_C]))
        remaining -= int(np.count_nonzero(level_C == 1))
    return np.concatenate(chosen_BG)


def _sorted(waiting: Sequence[tuple[Floats, Ints]]) -> tuple[Floats, Ints]:
    """Return random numbers and groups, in the order of the numbers."""
    number_E = np.concatenate([np.empty(0), *(number for number, _ in waiting)])
    group_E = np.concatenate([np.empty(0, dtype=np.int64), *(group for _, group in waiting)])
    order_E = np.lexsort((group_E, number_E))
    return number_E[order_E], group_E[order_E]


def _places(chosen_BG: Ints, first_G: Ints, windows: int) -> Ints:
    """Return [B, groups * windows]: the next `windows` places of each chosen group, which begins at `first_G`."""
    flat_M = chosen_BG.ravel()
    order_M = np.argsort(flat_M, kind="stable")
    count_G = np.bincount(flat_M, minlength=len(first_G))
    turn_M = np.empty_like(flat_M)  # how often the group was chosen before
    turn_M[order_M] = np.arange(len(flat_M)) - np.repeat(np.cumsum(count_G) - count_G, count_G)
    place_MW = (first_G[flat_M] + turn_M * windows)[:, None] + np.arange(windows)
    return place_MW.reshape(len(chosen_BG), -1)
