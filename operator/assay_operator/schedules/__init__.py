"""EvalSchedules: what is due is decided here and becomes EvalJobs, which know nothing of where they came from."""
