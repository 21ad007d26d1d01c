"""LiteLLM's proxy, one worker, no database."""

from benchmarks.entrants.entrant import Entrant, Server, Site
from benchmarks.peers import PEERS

_KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"  # it does not start without one, and refuses weak ones


def _serve(site: Site) -> Server:
    config = site.folder / "litellm.yaml"
    config.write_text(f"""\
model_list:
  - model_name: small
    litellm_params:
      model: openai/small
      api_base: {site.upstream.base_url}
      api_key: unused
""")
    program = str(site.peer / "bin" / "litellm")
    arguments = [
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(site.port),
        "--num_workers",
        "1",
    ]
    return Server(
        [program, *arguments],
        # What its documentation advises for production, and no price table from the network.
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": _KEY,
        },
        headers={"authorization": f"Bearer {_KEY}"},
        ready_path="/health/liveliness",
    )


LITELLM = Entrant(
    key="litellm",
    name=f"litellm {PEERS['litellm'].version}",
    does="Python; router, cost, callbacks; one master key; no database: no budgets, no record",
    serve=_serve,
    peer="litellm",
    start_s=300,
)
