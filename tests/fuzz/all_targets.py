"""Every fuzz target by its name."""

from tests.fuzz.issuance_targets import ISSUANCE_TARGETS
from tests.fuzz.targets import TARGETS as PRESENTATION_TARGETS
from tests.fuzz.targets import Target
from tests.fuzz.w3c_targets import W3C_TARGETS

TARGETS: dict[str, Target] = PRESENTATION_TARGETS | W3C_TARGETS | ISSUANCE_TARGETS
