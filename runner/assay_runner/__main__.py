"""`python -m assay_runner` is `assay`."""

from __future__ import annotations

import sys

from assay_runner.cli import main

sys.exit(main())
