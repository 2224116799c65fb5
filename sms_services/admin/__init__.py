from . import audit, messages, services, templates

__all__ = ["audit", "messages", "services", "templates"]
