"""The worker: takes chunks, gets answers, scores them, commits records, and helps the slowest."""
