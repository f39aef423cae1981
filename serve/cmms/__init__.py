"""Back from the maintenance system: work orders in CSV or XLSX become events.

done = import_events(store, Path("orders.csv"), plant, read_mapping(Path("orders.toml")))
"""

from serve.cmms.columns import ColumnMapping, read_mapping
from serve.cmms.reader import Import, Rejected, import_events

__all__ = ["ColumnMapping", "Import", "Rejected", "import_events", "read_mapping"]
