"""docs/AUDIT.md: what `affect-core audit` says about the rendered corpora of the `laptop` profile.

    python -m affect_core.audit_page

Renders them first if they are not there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from affect_core.audit import audit
from affect_core.project_folders import project_root
from affect_core.storage import write_figure, write_text
from affect_core.workbook import CORPORA, open_workbook

HEAD = """# Audit of the embedded corpus

What `affect-core audit` says about the rendered corpus of the `laptop` profile. It is synthetic and small: the
differences from the released sets are meant to be there; they show what such a comparison looks like. `affect-core
audit FOLDER CORPUS --out audit.md --figures figures` makes the same for yours. This page is written by
`python -m affect_core.audit_page`.
"""

SHOWN = {
    "samples": "Faces of abaw4, drawn at random",
    "action_units": "Action units that are on together",
    "circumplex": "Where the annotated frames of abaw4 lie on the circumplex",
}
"""Figures of abaw4 on the page, with their captions."""


def write_audit_page(docs: Path, profile: str = "laptop") -> None:
    """Write `docs/AUDIT.md` and `docs/figures/audit_*.png` from the rendered corpora of a profile."""
    sections = []
    with TemporaryDirectory() as run:
        book = open_workbook(profile, run_dir=run)
        for name in sorted(CORPORA):
            report = audit(book.corpus(name), source=book.source(name))
            sections.append(re.sub(r"^#", "##", report.to_markdown(), flags=re.MULTILINE))
            if name == "abaw4":
                drawn = report.figures()
                for figure in SHOWN:
                    write_figure(Path(docs) / "figures" / f"audit_{figure}.png", drawn[figure])
    pictures = [f"![{caption}](figures/audit_{figure}.png)\n" for figure, caption in SHOWN.items()]
    write_text(Path(docs) / "AUDIT.md", "\n".join([HEAD, *pictures, *sections]))


if __name__ == "__main__":
    write_audit_page(project_root() / "docs")
    sys.stdout.write("written: docs/AUDIT.md\n")
