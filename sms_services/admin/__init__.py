from . import audit, messages, sandbox, services, templates

__all__ = ["audit", "messages", "sandbox", "services", "templates"]
