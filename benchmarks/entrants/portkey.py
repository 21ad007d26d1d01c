"""Portkey's open-source gateway, on Node."""

import shutil

from benchmarks.entrants.entrant import Entrant, Server, Site
from benchmarks.peers import PEERS


def _serve(site: Site) -> Server:
    gateway = site.peer / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return Server(
        [shutil.which("node") or "node", str(gateway), f"--port={site.port}", "--headless"],
        headers={
            "authorization": "Bearer unused",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": site.upstream.base_url,
        },
        env={"NODE_ENV": "production"},
    )


PORTKEY = Entrant(
    key="portkey",
    name=f"portkey {PEERS['portkey'].version}",
    does="Node; provider chosen by header on each call; no keys, record or routing in this set-up",
    serve=_serve,
    peer="portkey",
)
