# Sourced by install_*.sh: installs Debian's $packages unless `found` finds what they bring. Asks for
# nothing: without the right to install, it says how. $what names them, $fault is why `found` still fails.

found && exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "make: error: expected $what; run: sudo apt-get install $packages" >&2
    exit 1
fi
echo "Installing $packages"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one argument per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
found || { echo "make: error: installed $packages, but $fault" >&2; exit 1; }
