"""nginx as one foreground process: the upstream of all entrants, and the floor under them."""

from pathlib import Path

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def write_config(folder: Path, servers: str) -> Path:
    """A config file around the given `http` content, with all state in `folder`; for `nginx -c`."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n  ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    path = folder / "nginx.conf"
    path.write_text(f"""\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  {temporary}
  access_log off;
  keepalive_requests 1000000000;
  keepalive_time 24h;
  keepalive_timeout 1h;
{servers}
}}
""")
    return path


def command(program: str, config: Path) -> list[str]:
    """How nginx is started on a config; errors before it reads the config go to stderr as well."""
    return [program, "-e", "stderr", "-c", str(config)]
