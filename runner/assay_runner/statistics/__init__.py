"""What the scores of documents say together: values, standard errors, intervals.

Everything here is a pure function of its arguments, and every sum is exact or of fixed order, so the same items give
the same bits on every machine. `docs/statistics.md` holds the formulas and their sources.
"""
