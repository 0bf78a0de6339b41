"""RTSP cameras that show moving boards: a real server, its pictures encoded once.

clips (draw and encode a loop, a frame number in each picture) → cameras (start and control) →
server (GStreamer's RTSP server, in the system's Python)
"""

from rtsp_cameras.cameras import CamerasError, RtspCameras
from rtsp_cameras.counter import read_counter

__all__ = ["CamerasError", "RtspCameras", "read_counter"]
