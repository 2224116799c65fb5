from .numbers import MobileNumber

__all__ = ["MobileNumber"]
