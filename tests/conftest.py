"""What all tests share: Hypothesis sets no deadlines, because machines that run tests are shared and slow at times."""

from hypothesis import settings

settings.register_profile("assay", settings.default, deadline=None)
settings.load_profile("assay")
