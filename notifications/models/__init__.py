from .departments import Department
from .notifications import Notification
from .presets import NotificationPreset
from .recipients import Recipient
from .suppressed import SuppressedNumber

__all__ = ["Department", "Notification", "NotificationPreset", "Recipient", "SuppressedNumber"]
