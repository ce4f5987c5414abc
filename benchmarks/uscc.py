"""Check digits and form of the unified social credit code: column-wise for imports, one by one for a request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from benchmarks.support import codes, machine, median, say
from credit_service.identity.batch import VALID, check_batch
from credit_service.identity.uscc import Uscc

SCALAR_SHARE = 20


def _rate(count: int, run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return count / (time.perf_counter() - began)


def run(count: int = 1_000_000, rounds: int = 5) -> dict[str, Any]:
    """Codes a second of both roads, alternating; one code in a hundred has a wrong last character."""
    say(f"{count} codes")
    batch = [
        code[:17] + ("0" if code[17] != "0" else "1") if number % 100 == 99 else code
        for number, code in enumerate(codes(count))
    ]
    few = list(islice((code for number, code in enumerate(batch) if number % 100 != 99), count // SCALAR_SHARE))
    valid = int((check_batch(batch) == VALID).sum())
    if valid != count - count // 100:
        raise SystemExit(f"{valid} of {count} codes are valid")
    rates: dict[str, list[float]] = {"batch": [], "scalar": []}
    for _ in range(rounds):
        rates["batch"].append(_rate(count, lambda: check_batch(batch)))
        rates["scalar"].append(_rate(len(few), lambda: [Uscc.parse(code) for code in few]))
    return {
        "benchmark": "uscc",
        "machine": machine(),
        "codes": count,
        "rounds": rounds,
        "batch_codes_per_second": round(median(rates["batch"])),
        "scalar_codes_per_second": round(median(rates["scalar"])),
        "batch_over_scalar": median([a / b for a, b in zip(rates["batch"], rates["scalar"], strict=True)], 1),
    }


if __name__ == "__main__":
    print(json.dumps(run(), ensure_ascii=False, indent=2))
