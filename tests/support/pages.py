"""What pages must survive, and the tags that a browser would see in them."""

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script> \u202e=cmd & \"quotes\" <img src=x onerror='x'>"


class Tags(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @property
    def active(self) -> list[str]:
        """Tags that load or run something, and attributes that run something."""
        loading = {"script", "img", "iframe", "object", "link"}
        tags = [name for name, _ in self.found if name in loading]
        return tags + [key for _, keys in self.found for key in keys if key.startswith("on")]
