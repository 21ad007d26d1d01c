"""The bare relay of `bare_relay.py`, whole answers and streams."""

import sys

from benchmarks.entrants.entrant import Entrant, Server, Site


def _serve(site: Site) -> Server:
    relay = [sys.executable, "-m", "benchmarks.bare_relay"]
    return Server([*relay, "--port", str(site.port), "--upstream", site.upstream.base_url])


BARE = Entrant(
    key="bare",
    name="bare relay",
    does="uvicorn + starlette + aiohttp: parses the request, forwards, parses the answer; no keys, no record",
    serve=_serve,
)

BARE_STREAM = Entrant(
    key="bare-stream",
    name="bare relay, streaming 60 chunks",
    does="parses the request, forwards it and passes each chunk on unread; no keys, no record",
    serve=_serve,
    stream=True,
    baseline="bare-stream",
)
