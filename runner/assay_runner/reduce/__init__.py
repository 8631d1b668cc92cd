"""The reducer: checks that the store holds exactly what was planned, and computes every number from the records."""
