"""A program that waits for its turn: one JSON object a line in, the job done, one line out."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


def serve(job: Callable[..., Any], *, ready: dict[str, Any] | None = None) -> None:
    """Say that all is loaded, then do the job with the arguments of each line until there are no more."""
    print(json.dumps({"ready": True, **(ready or {})}), flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        start = time.perf_counter()
        try:
            said = job(**told) or {}
        except Exception:
            print(json.dumps({"failed": traceback.format_exc()[-2000:]}), flush=True)
        else:
            print(json.dumps({"seconds": time.perf_counter() - start, **said}), flush=True)
