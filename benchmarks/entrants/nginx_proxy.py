"""nginx `proxy_pass`: what copying the bytes costs, and nothing else."""

from benchmarks import nginx
from benchmarks.entrants.entrant import Entrant, Server, Site


def _serve(site: Site) -> Server:
    config = nginx.write_config(
        site.folder,
        f"""\
  upstream model {{ server 127.0.0.1:{site.upstream.port}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{site.port} backlog=1024;
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}""",
    )
    return Server(nginx.command(site.nginx, config))


NGINX = Entrant(
    key="nginx",
    name="nginx proxy_pass keepalive",
    does="copies bytes in C; reads neither request nor answer",
    serve=_serve,
)
