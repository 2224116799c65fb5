from .buckets import Bucket
from .challenges import Challenge
from .logins import MobileLogin
from .numbers import MobileNumber
from .pauses import Pause
from .review import ReviewNumber

__all__ = ["Bucket", "Challenge", "MobileLogin", "MobileNumber", "Pause", "ReviewNumber"]
