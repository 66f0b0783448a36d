"""`python -m tests.system.chaos [SECONDS [KILLS]]`: ten minutes and 66 kills on each of the two ways to run."""

from __future__ import annotations

import sys

from tests.system.chaos import chaos_run


def main(arguments: list[str]) -> int:
    """Return 0 when nothing was lost."""
    ways = {"embedded": False, "scaled out": True}
    if arguments and arguments[0] in ("embedded", "scaled"):
        ways = {"embedded": False} if arguments.pop(0) == "embedded" else {"scaled out": True}
    seconds = float(arguments[0]) if arguments else 600.0
    kills = int(arguments[1]) if len(arguments) > 1 else max(12, round(seconds * 0.11))
    wrong = 0
    for name, scaled in ways.items():
        print(f"{name}:", flush=True)
        done = chaos_run.run(seconds, kills, scaled=scaled)
        print(done.summary(), flush=True)
        wrong += len(done.wrong)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1:]))
