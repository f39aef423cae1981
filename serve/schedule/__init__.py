"""When to repair what: from survival curves to a schedule that crews can work by.

plan = make_plan(store, plant, settings, now_ms)     # read risks and wishes, plan, store
plan = load_plan(store, now_ms)                      # the plan in force
pin(store, plan, …), reject(store, plan, …)          # what the planner says
"""

from serve.schedule.persist import load_plan, make_plan, pin, reject, unpin
from serve.schedule.plan import Plan, PlannedJob, plan_to_dict
from serve.schedule.planner import plan
from serve.schedule.settings import ScheduleSettings

__all__ = [
    "Plan",
    "PlannedJob",
    "ScheduleSettings",
    "load_plan",
    "make_plan",
    "pin",
    "plan",
    "plan_to_dict",
    "reject",
    "unpin",
]
