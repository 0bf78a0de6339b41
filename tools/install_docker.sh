#!/bin/sh
# Debian packages of the container tests: a Docker engine, Compose, and what makes a base image.
# Installs nothing where all are there; asks for nothing: without the right to install it says how.
set -eu

packages="docker.io docker-compose debootstrap iptables"

found() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v dockerd >/dev/null && command -v docker >/dev/null || return 1
    command -v docker-compose >/dev/null && command -v debootstrap >/dev/null
}

what="a Docker engine, Compose and debootstrap"
fault="not all are on PATH"
. "$(dirname "$0")/debian_packages.sh"
