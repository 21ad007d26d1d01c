"""Deploying an adapter: it is loaded, asked what its trainer asked, and recorded where it answers the same."""

from smallfirst.gate.deploy.deploying import Deployed, Wish, deploy, prepare
from smallfirst.gate.deploy.forms import exported
from smallfirst.gate.deploy.uses import Use, uses_of
from smallfirst.gate.deploy.withdraw import remove, undeploy

__all__ = ["Deployed", "Use", "Wish", "deploy", "exported", "prepare", "remove", "undeploy", "uses_of"]
