"""Taking an adapter away: from a server, or altogether."""

from __future__ import annotations

from smallfirst.errors import DeployError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy.uses import needs, uses_of
from smallfirst.gate.deploy.vllm_target import VllmTarget
from smallfirst.models.adapters.deployments import (
    EMBEDDED,
    Deployment,
    add_deployment,
    deployments,
    remove_deployment,
)
from smallfirst.models.adapters.store import Adapters


async def undeploy(
    home: Home, adapter: str, to: str = "", *, force: bool = False, allow_public: bool = False
) -> Deployment:
    """Forgets a deployment and unloads it where it is served. `to` may be left out where it is deployed at one place.

    Raises `DeployError` where a release that answers calls needs it, or where its server cannot be asked; `force` does it all the same, and
    forgets a server that is gone.
    """
    deployed = _named(home, Adapters(home.state).find(adapter), to)
    uses = [use for use in uses_of(home.state, deployed.adapter) if needs(use, deployed, home.config)]
    answering = [str(use) for use in uses if use.answers]
    if answering and not force:
        raise DeployError(
            f"{'; '.join(answering)} needs it there. Let another release answer first (`smallfirst release promote`, `smallfirst release rollback`); "
            "--force takes it away all the same, and those calls climb"
        )
    if deployed.target == EMBEDDED:
        remove_deployment(home.state, deployed.adapter, deployed.target)
        return deployed
    await _from_server(home, deployed, force=force, allow_public=allow_public)
    return deployed


def remove(home: Home, adapter: str, *, force: bool = False) -> tuple[str, list[Deployment]]:
    """Deletes an adapter for good; its name, and the deployments that were forgotten with it.

    Refused while a release that answers calls names it, whatever `force` says; with it, deployments are forgotten, and a release that could be
    rolled back to is left without.
    """
    store = Adapters(home.state)
    name = store.find(adapter)
    uses = uses_of(home.state, name)
    if answering := [str(use) for use in uses if use.answers]:
        raise DeployError(
            f"{'; '.join(answering)} answers with it: let another release answer first (`smallfirst release promote`, `smallfirst release rollback`)"
        )
    there = [one for one in deployments(home.state) if one.adapter == name]
    if there and not force:
        where = ", ".join(one.target for one in there)
        raise DeployError(
            f"it is deployed ({where}): `smallfirst adapters undeploy {name[:12]}` first, or --force"
        )
    if uses and not force:
        raise DeployError(f"{'; '.join(map(str, uses))} names it, and could not be served again; --force")
    for one in there:
        remove_deployment(home.state, name, one.target)
    store.remove(name)
    return name, there


async def _from_server(home: Home, deployed: Deployment, *, force: bool, allow_public: bool) -> None:
    """Forgotten first, so that nobody begins to ask for it; recorded again where the server keeps it."""
    try:
        target = VllmTarget(home, deployed.target, allow_public=allow_public)
        async with target.connected() as server:
            await server.models()
    except DeployError:
        if not force:
            raise
        remove_deployment(home.state, deployed.adapter, deployed.target)
        return
    remove_deployment(home.state, deployed.adapter, deployed.target)
    try:
        await target.unload(deployed.served_name)
    except BaseException:
        if not force:
            add_deployment(home.state, deployed)
        raise


def _named(home: Home, adapter: str, to: str) -> Deployment:
    """The deployment that is meant. Raises `DeployError`."""
    there = [one for one in deployments(home.state) if one.adapter == adapter]
    where = ", ".join(one.target for one in there) or "nowhere"
    found = [one for one in there if to in ("", one.target)]
    if len(found) == 1:
        return found[0]
    if to or not there:
        raise DeployError(f"{adapter[:12]} is not deployed{f' to {to}' if to else ''} (it is: {where})")
    raise DeployError(f"{adapter[:12]} is deployed at several places ({where}): --to says which")
