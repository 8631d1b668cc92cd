"""Two finished runs side by side: whether they may be compared, the pairs of their scores, and what the pairs say."""
