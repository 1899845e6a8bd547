import sys
from pathlib import Path

# Stand-ins that several test files use are found by name.
sys.path.insert(0, str(Path(__file__).parent))
