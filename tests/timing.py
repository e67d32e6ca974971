"""CPU time for ratios: what a machine can do in a second is no fact about the code."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def least_cpu_s(call: Callable[[], object], tries: int = 5) -> float:
    """The least of several, after one to warm up: everything else on the machine only adds."""
    call()
    spent_s = []
    for _ in range(tries):
        start_s = time.process_time()
        call()
        spent_s.append(time.process_time() - start_s)
    return max(min(spent_s), 1e-6)
