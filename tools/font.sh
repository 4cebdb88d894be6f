#!/usr/bin/env bash
# Makes the files in controller/plot/src/font from the npm package inter-ui. Needs npm and python3 with venv.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)/controller/plot/src/font
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent inter-ui@4.1.1 >/dev/null
tar xzf inter-ui-4.1.1.tgz
python3 -m venv venv
venv/bin/pip install --quiet fonttools==4.68.0 brotli==1.2.1

letters="U+0020-007E,U+00A0-017F,U+0192,U+0218-021B,U+0370-03FF,U+0400-045F,U+0490-0491"
signs="U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2030,U+2032,U+2033,U+2039,U+203A,U+2044,U+2070-2079,U+2080-2089"
signs="$signs,U+20AC,U+20BD,U+2122,U+2190-2193,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265,U+25A1,U+FFFD"
for weight in Regular SemiBold; do
    venv/bin/pyftsubset "package/web/Inter-$weight.woff2" --unicodes="$letters,$signs" --flavor= --no-hinting \
        --layout-features=kern,tnum,mark,mkmk,ccmp --drop-tables+=DSIG,meta --output-file="$here/Inter-$weight.ttf"
done
venv/bin/fonttools varLib.instancer package/variable/InterVariable.woff2 opsz=14 wght=400:700 --quiet --output variable.ttf
venv/bin/pyftsubset variable.ttf --flavor=woff2 --no-hinting --layout-features=kern,tnum --output-file="$here/Inter-Latin.woff2" \
    --unicodes="U+0020-007E,U+00A0-00FF,U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2032,U+2033,U+20AC,U+2122,U+2190-2193,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265"
cp package/LICENSE.txt "$here/LICENSE.txt"
