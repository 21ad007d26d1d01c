"""What answers: models by name, their endpoints, and the exchange of one request for one reply."""

from smallfirst.models.catalogue import Catalogue
from smallfirst.models.model import Model

__all__ = ["Catalogue", "Model"]
