"""What the service needs of a machine: engines, sockets, a journal that keeps records.

`mimyria doctor` shows it among the rest; `mimyria-driver doctor` shows it alone.
"""

from mimyria_driver.doctor.checks import service_checks

__all__ = ["service_checks"]
