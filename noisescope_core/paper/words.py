"""What the report may say of this method's figures."""

from __future__ import annotations

from noisescope_core.method import Words

WORDS = Words("", True, False, "", "", "", (), lambda config: 0.0)
