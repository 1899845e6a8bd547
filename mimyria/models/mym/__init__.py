"""Models of the older program of the same name, as models of ours.

Its `.mym` files are zip archives of torch tensors and JSON. Only numbers are taken out
of them; nothing in them is ever run. The network is that of `e3nn.nn.models.v2106`,
which ours represents exactly: `conversion` says how.
"""

from mimyria.models.mym.conversion import ORDERS, UNITS, import_mym
from mimyria.models.mym.reading import MymFile, read_mym

__all__ = ["ORDERS", "UNITS", "MymFile", "import_mym", "read_mym"]
