"""The control plane: turns EvalJobs into pods and pods' outcomes into status. Knows Kubernetes, nothing of tasks or models."""
