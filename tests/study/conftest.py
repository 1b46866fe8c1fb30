"""The small study that this room's tests share."""

from tests.studies import quiet_optuna, said, study  # noqa: F401 - fixtures
