#!/usr/bin/env bash
# Makes .venv and installs what is asked for:
#   setup.sh package    the package
#   setup.sh dev        the package and what its tests and checks need
#   setup.sh programs   Debian's mma and fluidsynth, which render the corpus mma10
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
PROGRAMS="mma fluidsynth timgm6mb-soundfont"

say() { printf '%s\n' "$*" >&2; }

# Install Debian packages as root or through sudo; say what to do where that is not possible.
debian() {
  local why=$1 install="apt-get install -y --no-install-recommends" sudo=
  shift
  if ! command -v apt-get >/dev/null; then
    say "$why needs: $* — this is no Debian-based system, so please install their counterparts by hand."
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      # All of them, so that nobody has to ask twice.
      say "$why needs: $* — please ask an administrator to run: $install python3 python3-venv $PROGRAMS"
      return 1
    fi
    sudo=sudo
  fi
  say "installing $* (Debian packages)"
  if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive $install -qq "$@" >/dev/null; }; then
    say "$why needs: $* — apt-get could not install them (see above); is the network up, and does this work as root: apt-get update && $install $*"
    return 1
  fi
}

make_venv() {
  if ! command -v "$PYTHON" >/dev/null; then
    if [ "$PYTHON" != python3 ]; then
      say "there is no $PYTHON here; say which Python to use: make PYTHON=python3.11 …"
      exit 1
    fi
    debian "bandwise" python3 python3-venv
  fi
  if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    say "bandwise needs Python 3.10 or newer; $PYTHON is $("$PYTHON" -V). Say which to use: make PYTHON=python3.11 …"
    exit 1
  fi
  [ -x .venv/bin/pip ] && return
  rm -rf .venv
  if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
    debian "making a virtual environment" "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  fi
  "$PYTHON" -m venv .venv
  .venv/bin/pip install -q --upgrade pip
}

install() {
  say "installing Python packages into .venv (the first time some hundred MB; some GB where pip takes torch with CUDA)"
  if ! .venv/bin/pip install -q --progress-bar off -c constraints.txt -e "$1"; then
    say "pip could not install the packages (see above); is the network up, and the disk not full? Then run the same command again."
    exit 1
  fi
}

case "${1:-}" in
  package) make_venv; install .; touch .venv/.package ;;
  dev) make_venv; install ".[test,lint]"; touch .venv/.package .venv/.dev ;;
  programs)
    if command -v mma >/dev/null && command -v fluidsynth >/dev/null && [ -e /usr/share/sounds/sf2/TimGM6mb.sf2 ]; then exit 0; fi
    # shellcheck disable=SC2086
    debian "rendering mma10" $PROGRAMS ;;
  *) say "usage: setup.sh package|dev|programs"; exit 2 ;;
esac
