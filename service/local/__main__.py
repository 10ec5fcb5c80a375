"""A stack in the background: ``python -m service.local [PORT]``, started by ``rankgres up``.

Its output goes to ``logs/supervisor.log``, where the supervisor writes each event by itself.
"""

import sys

from service.errors import RankgresError
from service.local.stack import FAILED, run
from service.settings import get_settings


def main() -> None:
    """Run the stack until it is told to stop; end with 1 if it failed."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        run(get_settings(), port, lambda _event: None)
    except RankgresError as error:
        sys.exit(f"{FAILED}{error}")


main()
