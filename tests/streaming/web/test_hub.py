"""What waits for a viewer."""

from __future__ import annotations

import asyncio

from tridet.streaming.web.gallery import Picture
from tridet.streaming.web.hub import Viewer


def test_what_waits_for_a_viewer_is_bounded():
    async def scene():
        viewer = Viewer()
        for version in range(1000):
            for source in ("a", "b"):
                viewer.asked.add(source)
                assert viewer.wants(source, version)
                viewer.give(Picture(source, version, version, b""), f"{source}{version}".encode())
                assert not viewer.wants(source, version)
            viewer.tell(str(version))
        assert [await viewer.next() for _ in range(3)] == ["999", b"a999", b"b999"]
        waiting = asyncio.ensure_future(viewer.next())
        assert not (await asyncio.wait([waiting], timeout=0.01))[0]
        viewer.tell("1000")
        assert await waiting == "1000"

    asyncio.run(scene())
