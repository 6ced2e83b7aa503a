#!/bin/sh
# Installs the fonts that nano's scenes are drawn with (Debian, Ubuntu).
# `./fetch_assets.sh tiny` fetches what tiny's pictures, and nano's art styles, receipts and easy-VQA, are made of, as
# packages from Debian, npm and PyPI, checks them against assets.sha256, and packs what is used into data/pack (pack.py; about 21 MB).
set -eu
if [ "${1-nano}" = nano ]; then
    apt-get install -y --no-install-recommends fonts-noto-color-emoji fonts-dejavu-core fonts-liberation2
    exit
fi
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$here/data/downloads"
cd "$here/data/downloads"
if ! sha256sum --status --check "$here/assets.sha256" 2>/dev/null; then
    apt-get download fonts-dejavu-core=2.37-6 fonts-liberation2=2.1.5-1 fonts-lato=2.0-2.1 fonts-open-sans=1.11-2 \
        fonts-roboto-unhinted=2:0~20170802-3 fonts-comic-neue=2.51-4 fonts-inconsolata=001.010-6 \
        dataset-fashion-mnist=0.0~git20200523.55506a9-1 wamerican=2020.12.07-2
    for package in emojibase-data@17.0.0 @iconify-json/noto@1.2.9 @iconify-json/fluent-emoji-flat@1.2.6 \
        @lobehub/fluent-emoji-3d@1.1.0 @twemoji/svg@15.0.0; do
        npm pack --silent "$package"
    done
    platform="--python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64"
    "$python" -m pip download --quiet --no-deps --only-binary=:all: $platform \
        easy-vqa==1.0 scikit-learn==1.9.1 scikit-image==0.26.0
    sha256sum --check "$here/assets.sha256"
fi
"$python" -m pip install --quiet resvg-py==0.5.0 fonttools==4.68.0
exec "$python" "$here/pack.py"
