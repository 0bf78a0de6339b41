#!/bin/sh
# Debian packages of the stream tests and the stream demo: Chromium, GStreamer's RTSP server, Xvfb.
# Installs nothing where all are there; asks for nothing: without the right to install it says how.
set -eu

packages="chromium gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad python3-gi xvfb xdotool"

found() {
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || return 1
    command -v Xvfb >/dev/null && command -v xdotool >/dev/null || return 1
    /usr/bin/python3 - 2>/dev/null <<'PYTHON'
import gi

gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer

Gst.init(None)
assert Gst.ElementFactory.find("rtph264pay") and Gst.ElementFactory.find("h264parse")
PYTHON
}

what="Chromium and GStreamer's RTSP server"
fault="they do not work together"
. "$(dirname "$0")/debian_packages.sh"
