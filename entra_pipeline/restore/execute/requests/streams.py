"""Objects with streams, such as the images of a company's branding (Graph doc: organizationalbranding-update)."""

from __future__ import annotations

import base64
from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder

# By what the bytes begin with.
_IMAGES = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"\0\0\1\0": "image/x-icon"}
_STYLE_SHEET = "customCSS"


class StreamRequests(RequestBuilder):
    """The object as JSON, then each stream as bytes."""

    @property
    def names(self) -> frozenset[str]:
        """Properties that are streams."""
        return self.entry.streams.names if self.entry.streams is not None else frozenset()

    def first(self) -> set[str]:
        """Leaves out streams, which are put once the object exists."""
        return super().first() - self.names

    async def change(self, body: dict[str, Any]) -> None:
        """Changes the object, then puts each stream that differs; one that was not there stays."""
        own = {name: value for name, value in body.items() if name not in self.names}
        if own:
            await super().change(own)
        kept = sorted(name for name in self.names & body.keys() if not body[name])
        if kept:
            self.work.problems.append(f"{', '.join(kept)}: Graph cannot remove it; remove it in the portal")
        for name in sorted(self.names & body.keys() - {*kept}):
            content = base64.b64decode(body[name])
            await self.work.do(Write("PUT", self._path(name), content=content, headers=_kind(name, content)))

    def _path(self, name: str) -> str:
        streams = self.entry.streams
        path = streams.path if streams is not None else ""
        return path.format(owner=self.work.parent, id=self.work.id, name=name)


def _kind(name: str, content: bytes) -> dict[str, str]:
    if name == _STYLE_SHEET:
        return {"Content-Type": "text/css"}
    found = (kind for start, kind in _IMAGES.items() if content.startswith(start))
    return {"Content-Type": next(found, "application/octet-stream")}
