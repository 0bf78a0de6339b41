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

found && exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "make: error: expected a Docker engine, Compose and debootstrap; run: sudo apt-get install $packages" >&2
    exit 1
fi
echo "Installing $packages"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one argument per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
found || { echo "make: error: installed $packages, but not all are on PATH" >&2; exit 1; }
