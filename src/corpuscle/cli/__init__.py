"""The command line: one verb per stage, each a few lines over a function one could call."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run a verb; whatever goes wrong ends in a sentence and an exit code, never in a traceback."""
    from corpuscle.cli.app import app
    from corpuscle.cli.show import complain
    from corpuscle.cli.stop import KEPT, Stopped, stoppable
    from corpuscle.errors import CorpuscleError, StoreError

    as_json = "--json" in sys.argv
    try:
        with stoppable():
            app(standalone_mode=True)
    except CorpuscleError as e:
        complain(e, as_json=as_json)
        sys.exit(2 if e.asked else 1)
    except Stopped as e:
        print(KEPT, file=sys.stderr)
        sys.exit(e.code)
    except KeyboardInterrupt:
        print(KEPT, file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - whoever read us has gone
        sys.exit(0)
    except OSError as e:
        if os.environ.get("CORPUSCLE_DEBUG"):
            raise
        fix = "check the name, its rights and the space"
        complain(StoreError(e.strerror or str(e), where=str(e.filename or ""), fix=fix, rule="system"), as_json=as_json)
        sys.exit(2 if isinstance(e, (FileNotFoundError, NotADirectoryError, IsADirectoryError)) else 1)
    except Exception as e:
        if os.environ.get("CORPUSCLE_DEBUG"):
            raise
        complain(
            CorpuscleError(
                f"{type(e).__name__}: {e}", fix="set CORPUSCLE_DEBUG=1 and report what it prints", rule="internal"
            ),
            as_json=as_json,
        )
        sys.exit(1)
