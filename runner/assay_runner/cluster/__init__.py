"""EvalJobs on a cluster, as a user with a kubeconfig sees and handles them."""
