"""The plan in the event log: every round, pin and rejection is an event, and the log is the plan."""

from __future__ import annotations

from dataclasses import replace

from plant.asset import AssetPath
from plant.config import Plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, from_iso, to_iso
from serve.schedule.job import JobId, Wish
from serve.schedule.plan import (
    Plan,
    PlannedJob,
    in_order,
    job_from_dict,
    job_to_dict,
    plan_from_parts,
    plan_head,
)
from serve.schedule.planner import plan
from serve.schedule.settings import ScheduleSettings
from store.port import Store

#: The head of a plan concerns no single machine; it is filed under this address.
PLAN_ASSET = AssetPath("vigie", "schedule", "plan")
LOOK_BACK_MS = 120 * DAY_MS


def make_plan(
    store: Store,
    plant: Plant,
    settings: ScheduleSettings,
    now_ms: int,
    *,
    who: str = "vigie",
    keep: bool = True,
) -> Plan:
    """Plan from what the store knows (latest risks, last plan, wishes, reports) and store the plan.

    `keep` False: only look at what the plan would be.
    """
    previous = load_plan(store, now_ms)
    opened = [job.opened_ms for job in previous.jobs if job.open] if previous else []
    reports = (
        store.read_events(min(opened), now_ms + 1, kinds=("maintenance", "failure"))
        if opened
        else []
    )
    made = plan(
        plant,
        store.latest_risks(),
        now_ms,
        settings,
        previous=previous,
        wishes=load_wishes(store, now_ms, previous),
        events=reports,
    )
    if keep:
        store.write_events(plan_events(made, previous, who))
    return made


def plan_events(made: Plan, previous: Plan | None, who: str) -> list[Event]:
    """Return the events that keep a plan: one for its head, one per job."""
    events = [
        Event(
            PLAN_ASSET,
            made.made_ms,
            "schedule",
            key="plan",
            who=who,
            detail={"action": "plan", **plan_head(made)},
        )
    ]
    events += [
        Event(
            job.asset,
            made.made_ms,
            "schedule",
            mode=job.mode,
            key=job.key,
            who=who,
            detail={"action": "job", "change": _change(job, previous), "job": job_to_dict(job)},
            simulated=job.simulated,
            run_id=job.run_id,
        )
        for job in made.jobs
    ]
    return events


def load_plan(store: Store, now_ms: int) -> Plan | None:
    """Return the newest plan made up to now, or None when there is none."""
    events = store.read_events(now_ms - LOOK_BACK_MS, now_ms + 1, kinds=("schedule",))
    heads = [event for event in events if event.detail.get("action") == "plan"]
    if not heads:
        return None
    head = heads[-1]
    jobs = tuple(
        job_from_dict(event.detail["job"])
        for event in events
        if event.ts_ms == head.ts_ms and event.detail.get("action") == "job"
    )
    return plan_from_parts(head.detail, in_order(jobs))


def load_wishes(store: Store, now_ms: int, current: Plan | None) -> dict[JobId, Wish]:
    """Return the pins and rejections in force for the plan's open jobs."""
    keys = {job.key for job in current.jobs if job.open} if current else set()
    wishes: dict[JobId, Wish] = {}
    for event in store.read_events(now_ms - LOOK_BACK_MS, now_ms + 1, kinds=("schedule",)):
        detail = event.detail
        job_id = (str(event.asset), event.mode)
        if detail.get("action") not in {"pin", "unpin", "reject"} or detail.get("job") not in keys:
            continue
        wishes.pop(job_id, None)
        if detail["action"] == "pin" and from_iso(detail["start"]) > now_ms:
            start_ms = from_iso(detail["start"])
            wishes[job_id] = Wish(
                job_id, start_ms, detail.get("crew", ""), who=event.who, why=event.note
            )
        elif detail["action"] == "reject" and from_iso(detail["until"]) > now_ms:
            until = from_iso(detail["until"])
            wishes[job_id] = Wish(job_id, not_before_ms=until, who=event.who, why=event.note)
    return wishes


def find_job(current: Plan | None, name: str) -> PlannedJob:
    """Return the open job named by its key, its asset, or asset#mode. Raises DataError otherwise."""
    if current is None:
        raise DataError("there is no plan yet.", fix="Run vigie schedule plan first.")
    found = [
        job
        for job in current.jobs
        if job.open and name in {job.key, str(job.asset), f"{job.asset}#{job.mode}"}
    ]
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"{name[:100]!r} names {len(found)} open jobs of the plan.",
        fix="Give the job's key (VG-…) as vigie schedule show prints it.",
    )


def pin(
    store: Store, job: PlannedJob, start_ms: int, now_ms: int, *, crew: str, who: str, why: str
) -> None:
    """Fix a job's start (and crew, unless empty). The next plan obeys."""
    if start_ms <= now_ms:
        raise DataError(f"{to_iso(start_ms)} has passed.", fix="Pin a start in the future.")
    _wish(store, job, now_ms, {"action": "pin", "start": to_iso(start_ms), "crew": crew}, who, why)


def unpin(store: Store, job: PlannedJob, now_ms: int, *, who: str, why: str) -> None:
    """Let Vigie choose the job's slot again."""
    _wish(store, job, now_ms, {"action": "unpin"}, who, why)


def reject(
    store: Store, job: PlannedJob, until_ms: int, now_ms: int, *, who: str, why: str
) -> None:
    """Keep a job out of the plan until `until_ms`."""
    if until_ms <= now_ms:
        raise DataError(f"{to_iso(until_ms)} has passed.", fix="Reject until a time to come.")
    _wish(store, job, now_ms, {"action": "reject", "until": to_iso(until_ms)}, who, why)


def _wish(
    store: Store, job: PlannedJob, now_ms: int, detail: dict[str, str], who: str, why: str
) -> None:
    event = Event(
        job.asset,
        now_ms,
        "schedule",
        mode=job.mode,
        key=f"{job.key}/{detail['action']}",
        note=why,
        who=who,
        detail=detail | {"job": job.key},
        simulated=job.simulated,
        run_id=job.run_id,
    )
    store.write_events([event])


def _change(job: PlannedJob, previous: Plan | None) -> str:
    """Return what became of a job since the plan before: new, moved, kept, or its closing state."""
    old = previous.job(job.key) if previous else None
    if old is None:
        return "new"
    if not job.open:
        return job.state
    return "kept" if replace(job, revision=old.revision) == job else "changed"
