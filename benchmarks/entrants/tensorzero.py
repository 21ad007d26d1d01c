"""TensorZero: the Rust gateway that its PyPI wheel embeds, in a Python process that does nothing else."""

from benchmarks.entrants.entrant import Entrant, Server, Site
from benchmarks.peers import PEERS

# The wheel's own way to the gateway; it picks a port, so it says where. The handle must stay referenced.
_LAUNCH = """
import pathlib, sys, threading
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], async_setup=False, clickhouse_url=None, postgres_url=None, valkey_url=None
)
pathlib.Path(sys.argv[2]).write_text(gateway.base_url)
threading.Event().wait()
"""


def _serve(site: Site) -> Server:
    config = site.folder / "tensorzero.toml"
    config.write_text(f"""\
[gateway]
observability.enabled = false

[models.small]
routing = ["upstream"]

[models.small.providers.upstream]
type = "openai"
model_name = "small"
api_base = "{site.upstream.base_url}/"
api_key_location = "none"
""")
    address = site.folder / "address"
    address.unlink(missing_ok=True)
    return Server(
        [str(site.peer / "bin" / "python"), "-c", _LAUNCH, str(config), str(address)],
        model="tensorzero::model_name::small",
        path="/chat/completions",  # the address it writes ends in /openai/v1
        address_file=address,
    )


TENSORZERO = Entrant(
    key="tensorzero",
    name=f"tensorzero {PEERS['tensorzero'].version}",
    does="Rust; typed parse and rebuild of request and answer; observability off: no record, keys or routing",
    serve=_serve,
    peer="tensorzero",
)
