"""`easel`: the operator's command, run from a clone. The package lies beside it, uninstalled."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "layers" / "easel"))
