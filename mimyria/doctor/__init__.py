"""What is installed here, what works, how fast it is, and what to do where it does not.

    checks ──► findings ──► report (text, JSON)

A check looks at one thing and returns findings: what was wanted, what was found, a
verdict, what to do. Each is run on its own, so that one which fails costs one line.
What may crash or hang (packages, programs) is asked in another process.
"""

from mimyria.doctor.asking import Answer, ask, ask_python
from mimyria.doctor.finding import VERDICTS, Finding, worst
from mimyria.doctor.report import as_document, as_lines, summary
from mimyria.doctor.running import Check, run_checks

__all__ = [
    "VERDICTS",
    "Answer",
    "Check",
    "Finding",
    "as_document",
    "as_lines",
    "ask",
    "ask_python",
    "run_checks",
    "summary",
    "worst",
]
