"""Dated price tables, as nano-dollars for each token class."""

from smallfirst.pricing.book import PriceBook
from smallfirst.pricing.price import LengthTier, Price, Rates, staleness

__all__ = ["LengthTier", "Price", "PriceBook", "Rates", "staleness"]
