"""Collecting what nothing refers to, and checking that everything that is referred to is there, whole."""

from simpleml.orm.housekeeping.collection import Collected, collect
from simpleml.orm.housekeeping.verification import Finding, Verified, verify

__all__ = ["Collected", "Finding", "Verified", "collect", "verify"]
