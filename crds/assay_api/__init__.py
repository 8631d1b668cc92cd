"""The vocabulary that the operator and the runner share: job, plan, records, results.

Everything that one part of Assay writes and another part reads is a pydantic model in this package: versioned, closed
to unknown fields, and free of any knowledge of Kubernetes clients, tasks or models.
"""
