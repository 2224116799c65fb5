from . import messages, services, templates

__all__ = ["messages", "services", "templates"]
