"""Who is compared: one file each, and here the order of the table."""

from benchmarks.entrants.bare import BARE, BARE_STREAM
from benchmarks.entrants.entrant import Entrant, Running, Site, start
from benchmarks.entrants.litellm import LITELLM
from benchmarks.entrants.nginx_proxy import NGINX
from benchmarks.entrants.portkey import PORTKEY
from benchmarks.entrants.smallfirst import SMALLFIRST, SMALLFIRST_LABEL, SMALLFIRST_STREAM
from benchmarks.entrants.tensorzero import TENSORZERO

ENTRANTS = (
    NGINX,
    BARE,
    SMALLFIRST,
    SMALLFIRST_LABEL,
    TENSORZERO,
    PORTKEY,
    LITELLM,
    BARE_STREAM,
    SMALLFIRST_STREAM,
)

__all__ = ["ENTRANTS", "Entrant", "Running", "Site", "start"]
