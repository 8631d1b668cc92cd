"""The regression gate: what a manifest asks of the scores, checked before they are known and judged when they are."""
