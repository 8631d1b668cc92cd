"""Documents: where they come from, how they are pinned by content, and how workers read only the rows they need."""
