"""One module per vendor: the only places that import a vendor's SDK, each only when it is used.

``get_provider(service)`` returns the provider of a service: one per service, configuration and process.
``replace_providers(factory)`` puts others in the place of all of them, for tests.
"""

from .cache import get_provider, replace_providers

__all__ = ["get_provider", "replace_providers"]
