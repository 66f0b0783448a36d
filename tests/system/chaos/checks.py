"""What must hold when the killing is over: everything has an end, nothing is doubled, results are as undisturbed."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from tests.system.chaos.load_clients import LoadClients
from tests.system.chaos.services import System

RERUNS = 8
ENDED = ("complete", "failed", "cancelled")
# What depends on the clock, and on the name of the analysis.
OF_THE_MOMENT = frozenset(
    ["id", "created_at", "finished_at", "computed_at", "duration_s", "version", "provenance", "parent", "missing"]
)
# What depends on which other wallets were known by then: everything that reckons with chance.
OF_CHANCE = OF_THE_MOMENT | frozenset(
    ["background", "expected", "lift", "p_value", "q_value", "timing_p_value", "insights"]
    + ["clusters", "cluster", "x", "y", "explained"]
)
UNDER_WAY = {
    "jobs without an end": "SELECT count(*) FROM job WHERE state IN ('queued', 'running')",
    "mints that are waited for": "SELECT count(*) FROM token WHERE priority IS NOT NULL OR claim_token IS NOT NULL",
    # The maintenance of the next minute may be what finds the last of them.
    "tokens never looked up": "SELECT count(*) FROM token WHERE status = 'pending' AND wallets_seen > 0",
    "mints of jobs without an outcome": "SELECT count(*) FROM job_mint WHERE outcome IS NULL",
    "syncs half done": "SELECT count(*) FROM sync_cursor",
}
WRONG = {
    "jobs that ended more or less than once": (
        "SELECT count(*) FROM job WHERE 1 <> (SELECT count(*) FROM job_event WHERE job_event.job_id = job.id"
        " AND job_event.state IN ('succeeded', 'failed', 'cancelled'))"
    ),
    "jobs that failed": "SELECT count(*) FROM job WHERE state = 'failed'",
    "wallets of analyses that are not synced": (
        "SELECT count(*) FROM analysis_wallet WHERE state <> 'synced' AND analysis_id IN (SELECT id FROM analysis)"
    ),
    "movements twice": (
        "SELECT count(*) FROM (SELECT 1 FROM movement GROUP BY wallet_id, signature, mint_id, side"
        " HAVING count(*) > 1) AS twice"
    ),
    "wallets twice": "SELECT count(*) FROM (SELECT 1 FROM wallet GROUP BY address HAVING count(*) > 1) AS twice",
    "mints twice": "SELECT count(*) FROM (SELECT 1 FROM token GROUP BY mint HAVING count(*) > 1) AS twice",
}
MOVEMENTS = (
    "SELECT wallet.address, count(*) FROM movement JOIN wallet ON wallet.id = movement.wallet_id"
    " GROUP BY wallet.address ORDER BY wallet.address"
)


def settle(running: System, clients: LoadClients, seconds: float) -> dict[str, int]:
    """Wait until nothing is under way; return what still is when the time is over."""
    end = time.monotonic() + seconds
    while True:
        left = {what: int(running.query(sql)[0][0]) for what, sql in UNDER_WAY.items()}
        states = dict(running.query("SELECT state, count(*) FROM analysis GROUP BY state"))
        left["analyses without an end"] = sum(count for state, count in states.items() if state not in ENDED)
        if not any(left.values()) or time.monotonic() > end:
            return {what: count for what, count in left.items() if count}
        time.sleep(1)


def judge(running: System, clients: LoadClients) -> list[str]:
    """Return in a sentence each what is wrong with the records, now that nothing is under way."""
    said = [f"{count} {what}" for what, sql in WRONG.items() if (count := int(running.query(sql)[0][0]))]
    states = dict(running.query("SELECT state, count(*) FROM analysis GROUP BY state"))
    if states != {"complete": len(clients.accepted)}:
        said.append(f"{len(clients.accepted)} analyses were accepted, and there are {states}")
    said += [
        f"list {number} sent again gives another analysis"
        for number, key in clients.accepted.items()
        if clients.post(number) != key
    ]
    said += [
        f"the refresh {job_id} is {job['state']}"
        for job_id in clients.refreshes
        if (job := clients.get(f"/jobs/{job_id}.json"))["state"] != "succeeded"
    ]
    return said


def evidence(clients: LoadClients, key: str, addresses: Sequence[str], besides: Collection[str] = OF_CHANCE) -> Any:
    """Return what an analysis, its pairs and its audits say, except under the keys `besides`."""
    page = f"/analyses/{key}"
    pairs = [lasting(pair, besides) for pair in clients.get(f"{page}/pairs.json?limit=200")["pairs"]]
    audits = [clients.get(f"{page}/wallets/{address}/capital.json") for address in addresses]
    return {
        "analysis": lasting(clients.get(f"{page}.json"), besides),
        "pairs": sorted(pairs, key=lambda pair: (pair["wallet_a"], pair["wallet_b"])),
        "capital": [lasting(audit, besides) for audit in audits],
    }


def lasting(shape: Any, besides: Collection[str]) -> Any:
    """Leave out some keys at any depth."""
    if isinstance(shape, dict):
        return {key: lasting(value, besides) for key, value in shape.items() if key not in besides}
    return [lasting(one, besides) for one in shape] if isinstance(shape, list) else shape


def all_evidence(clients: LoadClients) -> dict[int, Any]:
    """Return what each accepted analysis says, by the number of its list."""
    return {number: evidence(clients, key, clients.lists[number]) for number, key in clients.accepted.items()}


def evidence_again(clients: LoadClients) -> list[Any]:
    """Run some analyses anew on what is stored now, and return all that they say, chance too.

    Whatever was read of any wallet is part of it, since chance is counted from all wallets.
    """
    keys = {number: clients.rerun(clients.accepted[number]) for number in sorted(clients.accepted)[:RERUNS]}
    for key in keys.values():
        while clients.get(f"/analyses/{key}.json")["state"] not in ENDED:
            time.sleep(0.2)
    return [evidence(clients, key, clients.lists[number], OF_THE_MOMENT) for number, key in keys.items()]
