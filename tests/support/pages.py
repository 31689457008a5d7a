"""The pages of the documentation, README.md, CONTRIBUTING.md and docs/, and their contents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without code blocks."""
        return _BLOCK.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        """The code blocks of a language; `""` for those that name none, which hold commands and output."""
        return [text for found, text in _BLOCK.findall(self.text) if found == language]

    def lines(self) -> list[str]:
        """The lines of commands: those that end in a backslash are joined with the next, comments are removed."""
        joined = "".join(self.blocks("")).replace("\\\n", " ")
        return [re.split(r"\s#\s", line)[0].strip() for line in joined.splitlines()]

    def spans(self) -> list[str]:
        """The texts in backticks, outside of code blocks."""
        return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose)]

    def links(self) -> list[str]:
        """Targets of links that are not URLs."""
        found = re.findall(r"\]\(([^)\s]+)\)", self.prose)
        return [target for target in found if not re.match(r"\w+:", target)]

    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, flags=re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def pages() -> list[Page]:
    """All pages."""
    paths = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ATTRIBUTION.md")]
    return [Page(path) for path in (*paths, *sorted((ROOT / "docs").rglob("*.md")))]
