"""placeholder."""
from dataclasses import dataclass
@dataclass(frozen=True)
class LatticeEvidence:
    strength: float
    @property
    def maker(self): return "generator"
def evidence_of(features, photographs, watermarked): return LatticeEvidence(1.0)
