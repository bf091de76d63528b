#!/usr/bin/env bash
# Opens an HTML report in headless Chromium: in light, dark and at the width of a phone.
#
#   scripts/html-check.sh REPORT.html [FOLDER]
#
# Fails on any message in the browser's console, where the page scrolls sideways, where the colour scheme is not
# followed or where no screenshot comes out. Prints where the screenshots are: look at them.
set -euo pipefail

die() {
    echo "html-check: $*" >&2
    exit 1
}

[ $# -ge 1 ] || die "usage: scripts/html-check.sh REPORT.html [FOLDER]"
report=$1
[ -r "$report" ] || die "can't read $report; write a report first: tollgate run quickstart"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    die "needs Chromium; install the Debian package \`chromium\`"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shots=${2:-$(mktemp -d)}
mkdir -p "$shots"

# The report forbids scripts. The copy that is opened allows them, to look at the page from within: a message
# in the console fails the check.
policy='<meta http-equiv="Content-Security-Policy"[^>]*>'
grep -q "$policy" "$report" || die "$report has no content security policy"
sed "s|$policy||" "$report" >"$work/page.html"
cat >>"$work/page.html" <<'SCRIPT'
<script>
const page = document.documentElement;
if (page.scrollWidth > window.innerWidth)
    console.error(`the page is ${page.scrollWidth} px wide in a window of ${window.innerWidth} px`);
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
if (dark !== (r + g + b < 384))
    console.error(`the page is ${r},${g},${b} where ${dark ? "dark" : "light"} is wanted`);
if (dark !== location.search.includes("dark") && window.top === window)
    console.error("the browser didn't take the colour scheme that was asked for");
if (document.querySelectorAll("svg, h1, table").length < 3)
    console.error("the page has no figures or tables");
</script>
SCRIPT

# Chromium has no window narrower than 500 px: a phone is a frame of 375 px.
frame() {
    printf '<!doctype html><title>phone</title><style>body{margin:0;background:#888}iframe{border:0;display:block}</style>'
    printf '<iframe src="page.html" width="375" height="%s"></iframe>\n' "$1"
}
frame 12000 >"$work/phone.html"

# shot NAME PAGE WIDTH HEIGHT SCHEME: in Blink's settings 0 is dark and 1 is light.
shot() {
    local log="$work/$1.log"
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --allow-file-access-from-files --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme="$5" --enable-logging=stderr \
        --window-size="$3,$4" --screenshot="$shots/$1.png" "file://$work/$2" >"$log" 2>&1 ||
        die "Chromium failed on $1: $(tail -n 3 "$log")"
    if grep CONSOLE "$log" >&2; then
        die "the browser's console has messages for $1"
    fi
    [ -s "$shots/$1.png" ] || die "Chromium wrote no screenshot for $1"
}

shot light-first-screen page.html 1280 900 1
shot light page.html 1280 9000 1
shot dark 'page.html?dark' 1280 9000 0
shot phone phone.html 500 12000 1
shot phone-dark phone.html 500 4000 0

echo "html-check: no console message; screenshots in $shots"
