"""From curves to people: risk topics, alarms, schedules, exports, KPIs."""
