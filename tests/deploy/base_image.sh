#!/bin/sh
# An image with the face of NVIDIA's Triton container, which cannot be pulled everywhere, as a tar on
# stdout's place: base_image.sh VENV IMAGE
#
# Debian 12, its Python 3.11, and in /opt/tritonserver the server of the PyPI wheel in VENV (Triton 2.51,
# Python backend alone): same folders, PATH, user, variables, and pip that may write into the system.
set -eu
venv=$1 image=$2
stand_in=$(mktemp -d)
trap 'rm -rf "$stand_in"' EXIT

root=$stand_in/root
debootstrap --variant=minbase --include=python3,python3-pip,libpython3.11,ca-certificates,curl \
	bookworm "$root" >"$stand_in/log" 2>&1 || { cat "$stand_in/log" >&2; exit 1; }
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

packages=$(echo "$venv"/lib/python3.*/site-packages)
triton=$root/opt/tritonserver
mkdir -p "$triton/lib"
cp -r "$packages"/pytriton/tritonserver/bin "$packages"/pytriton/tritonserver/backends "$triton"
cp "$packages"/pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub "$triton/backends/python"
cp "$packages"/nvidia_pytriton.libs/* "$triton/lib"
chroot "$root" useradd --create-home --uid 1000 triton-server

# How this machine reaches its package registry.
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
cat /etc/ssl/certs/ca-certificates.crt >"$root/etc/ssl/certs/ca-certificates.crt"

tar -C "$root" -c . | docker import \
	--change 'ENV PATH=/opt/tritonserver/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	--change 'ENV LD_LIBRARY_PATH=/opt/tritonserver/lib' \
	--change 'ENV PIP_BREAK_SYSTEM_PACKAGES=1' \
	--change 'ENV NVIDIA_TRITON_SERVER_VERSION=24.10 TRITON_SERVER_VERSION=2.51.0' \
	--change 'WORKDIR /opt/tritonserver' \
	- "$image"
