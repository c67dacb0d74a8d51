"""Objects with streams, such as the images of a company's branding (Graph doc: organizationalbranding-update)."""

from __future__ import annotations

import base64
from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.execute.step import StepRefused

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
        """Changes the object, then puts each stream that differs, and removes one that was not there."""
        own = {name: value for name, value in body.items() if name not in self.names}
        if own:
            await super().change(own)
        gone = sorted(name for name in self.names & body.keys() if not body[name])
        for name in gone:
            if refused := await self._removed(name):
                self.work.problems.append(f"{name}: Graph does not remove it; remove it in the portal: {refused}")
        for name in sorted(self.names & body.keys() - {*gone}):
            content = base64.b64decode(body[name])
            await self.work.do(Write("PUT", self._path(name), content=content, headers=_kind(name, content)))

    async def delete(self) -> None:
        """Removes the images first, which Graph demands (Graph doc: organizationalbranding-delete)."""
        shown = await self.work.get(self.item) or {}
        given_by = self.entry.streams.given_by if self.entry.streams is not None else ""
        for name in sorted(one for one in self.names if shown.get(given_by.format(name=one))):
            if refused := await self._removed(name):
                raise StepRefused(f"its {name} is not removed: {refused}", remedy="Remove the image in the portal.")
        await super().delete()

    async def _removed(self, name: str) -> str:
        """Removes a stream; returns Graph's words when it refuses."""
        written = await self.work.send(Write("DELETE", self._path(name)))
        return "" if written.done or written.status == 404 else self.work.refused(written).message

    def _path(self, name: str) -> str:
        streams = self.entry.streams
        path = streams.path if streams is not None else ""
        return path.format(owner=self.work.parent, id=self.work.id, name=name)


def _kind(name: str, content: bytes) -> dict[str, str]:
    if name == _STYLE_SHEET:
        return {"Content-Type": "text/css"}
    found = (kind for start, kind in _IMAGES.items() if content.startswith(start))
    return {"Content-Type": next(found, "application/octet-stream")}
