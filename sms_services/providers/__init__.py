"""One module per vendor: the only places that import a vendor's SDK, each only when it is used.

``get_provider(service)`` returns the provider of a service: one per service, configuration and process.
"""

from .cache import get_provider

__all__ = ["get_provider"]
