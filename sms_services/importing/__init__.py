"""Import templates from a service's platform: compare first, then write exactly what was shown.

``compare`` asks the platform and writes nothing. ``apply`` asks again, and leaves alone what is not as it was shown.
Nothing is ever deleted.

What is taken over: text, status, reason and kind. A template's name, key and purpose are its admin's once it is here.
Text that breaks the rules for its purpose is not taken over, and the comparison says why: a one-time code imported as
a mere notification would be stored in plain text.
"""

from .applying import Imported, apply
from .changes import Change, Comparison
from .comparing import SHOWN_AT_ONCE, compare, signature_of

__all__ = ["SHOWN_AT_ONCE", "Change", "Comparison", "Imported", "apply", "compare", "signature_of"]
