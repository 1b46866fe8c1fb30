"""The small study that this room's tests share."""

from tests.records.conftest import make_row  # noqa: F401 - a fixture
from tests.studies import quiet_optuna, said, study  # noqa: F401 - fixtures
