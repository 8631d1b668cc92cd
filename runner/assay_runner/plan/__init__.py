"""From a manifest to `plan.json`: everything that can be found wrong is found here, before anything expensive starts."""
