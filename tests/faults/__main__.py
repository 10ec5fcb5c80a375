"""The long run: ``python -m tests.faults --faults 1000``, or ``make test-faults``.

Rounds of some faults each; every round begins anew, ends with a proof, and depends on the seed and
its number alone, except for what happens at the same time. One that fails says how to begin there.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Campaign, RoundReport
from tests.faults.fleet import Fleet

_FAULTS_A_ROUND = 20


def main() -> None:
    """Run rounds until there were so many faults; exit with status 1 at the first that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--round", type=int, default=1, help="the first one to be run")
    parser.add_argument("--postgres", type=int, default=18, choices=(16, 18))
    parser.add_argument("--keep", type=Path, help="folder for data and logs; unset: removed")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="rankgres-faults-") as temporary:
        folder = options.keep or Path(temporary)
        fleet = Fleet(folder, options.postgres)
        _say(f"seed {options.seed}, Postgres {options.postgres}")
        with fleet.running():
            _run(fleet, options)


def _run(fleet: Fleet, options: argparse.Namespace) -> None:
    campaign = Campaign(fleet, options.seed)
    reports: list[RoundReport] = []
    rounds = -(-options.faults // _FAULTS_A_ROUND)
    for number in range(options.round, rounds + 1):
        report = campaign.run_round(number, _FAULTS_A_ROUND)
        reports.append(report)
        _say(
            f"{time.strftime('%H:%M:%S')} round {number} of {rounds}: "
            f"{report.transactions} transactions, {report.texts} texts embedded, "
            f"{report.read_again} again, {report.dead_letters} dead letters, "
            f"{report.seconds:.0f} s, {report.drain_seconds:.0f} of them to drain"
        )
    faults = sum((report.faults for report in reports), Counter[str]())
    _say(f"{faults.total()} faults: {dict(faults.most_common())}")
    _say(f"{sum(report.transactions for report in reports)} transactions, nothing wrong")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
