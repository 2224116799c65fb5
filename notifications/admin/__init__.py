from . import departments, notifications, presets, suppressed

__all__ = ["departments", "notifications", "presets", "suppressed"]
