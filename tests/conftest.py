"""What all tests share: how hypothesis searches, and the real images where they are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.realdata import real

# Time limits per example would fail on a busy machine, which says nothing about the code.
settings.register_profile("corpuscle", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("corpuscle")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Gives the path of real test data, or skips the test and says what is absent."""
    return real
