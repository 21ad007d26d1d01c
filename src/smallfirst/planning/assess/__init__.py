"""Which features are in a stream of calls, and which of them are candidates for a small model: `reading` the calls, `finding` the features,
`judging` each; `told.py`, `page.py` and `picture.py` show it.
"""

from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.finding import Found, find_features
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading import Columns, ledger_calls, read_logs

__all__ = ["Columns", "Feature", "Found", "Observed", "find_features", "ledger_calls", "read_logs"]
