"""Pages: functions that fetch, authorise, act and render."""
