"""Words said of items while they are handled, for all rooms that use them."""

from typing import Literal

SafetyFinding = Literal["wet", "leak", "heat", "swelling", "accident"]
Use = Literal["reuse", "recycling"]
Qualification = Literal["high-voltage disassembly", "battery safety inspection"]
