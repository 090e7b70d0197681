"""How much two lists of tokens have in common."""

from collections.abc import Sequence


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with. Runs are compared whole, of the same type, both: each twice as long as the one
    before, then by bisection, so that it takes time for what they have in common and not for what they have not."""
    low, run = 0, 16
    most = min(len(a), len(b))
    while run <= most - low and a[low : low + run] == b[low : low + run]:
        low, run = low + run, 2 * run
    high = min(most, low + run)
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
