#!/bin/sh
# Installs the fonts that the scenes are drawn with (Debian, Ubuntu).
set -eu
apt-get install -y --no-install-recommends fonts-noto-color-emoji fonts-dejavu-core fonts-liberation2
