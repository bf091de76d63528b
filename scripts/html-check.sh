#!/usr/bin/env bash
# Opens a page of Tollgate's in headless Chromium: in light, dark and at the width of a phone.
#
#   scripts/html-check.sh PAGE.html [FOLDER]
#
# Fails on any message in the browser's console, where the page scrolls sideways, where the colour scheme is not
# followed, where text has less contrast than WCAG's AA asks for, where something can't be reached or named with the
# keyboard, above 2 MB, or where no screenshot comes out. Prints what the browser says of the first paint, and where the screenshots are: look at them.
set -euo pipefail

die() {
    echo "html-check: $*" >&2
    exit 1
}

[ $# -ge 1 ] || die "usage: scripts/html-check.sh PAGE.html [FOLDER]"
report=$1
[ -r "$report" ] || die "can't read $report; write a report first: tollgate run quickstart"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    die "needs Chromium; install the Debian package \`chromium\`"

size=$(wc -c <"$report")
[ "$size" -le 2000000 ] || die "$report has $size bytes, more than 2 MB"

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

// Contrast (WCAG 2.2, 1.4.3): 4.5 for text, 3 for large text, against the nearest ground that isn't transparent.
const parts = colour => colour.match(/[\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b]
    .map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = element => {
    for (let at = element; at; at = at.parentElement) {
        const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
        if (alpha > 0) return [r, g, b];
    }
    return [255, 255, 255];
};
const told = new Set();
let checked = 0;
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const style = getComputedStyle(element);
    if (!texts.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(element.tagName) || style.display === "none") continue;
    const colour = parts(element.closest("svg") ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const [a, b] = [luminance(colour), luminance(ground(element))].sort((a, b) => b - a);
    const ratio = (a + 0.05) / (b + 0.05);
    checked += 1;
    const at = `${element.tagName.toLowerCase()}.${element.getAttribute("class")}`;
    if (ratio < (large && !element.closest("svg") ? 3 : 4.5) && !told.has(at)) {
        told.add(at);
        console.error(`contrast ${ratio.toFixed(2)} of "${texts.currentNode.data.trim().slice(0, 40)}" in ${at}`);
    }
}
if (checked < 20) console.error(`contrast was checked of ${checked} texts only`);
</script>
SCRIPT

# The walk of a keyboard, from the first stop to the last, with all that unfolds unfolded: each stop takes the focus, shows it,
# has a name, and none jumps the order of the page.
sed "s|$policy||" "$report" >"$work/keyboard.html"
cat >>"$work/keyboard.html" <<'SCRIPT'
<script>
const stops = "a[href], summary, button, input, select, [tabindex]";
for (const summary of document.querySelectorAll("summary")) {
    summary.focus();
    summary.click();
    if (!summary.parentElement.open) console.error(`"${summary.textContent}" doesn't unfold`);
}
let last = -1;
for (const stop of document.querySelectorAll(stops)) {
    // As the Tab key would: a script alone needn't make the focus visible.
    stop.focus({ focusVisible: true });
    const name = stop.getAttribute("aria-label") || stop.textContent.trim();
    const at = stop.outerHTML.slice(0, 90);
    if (document.activeElement !== stop) console.error(`can't be reached: ${at}`);
    if (!name) console.error(`has no name: ${at}`);
    if (stop.tabIndex !== 0) console.error(`jumps the order: ${at}`);
    const outline = getComputedStyle(stop);
    if (outline.outlineStyle === "none" || parseFloat(outline.outlineWidth) < 2)
        console.error(`doesn't show the focus: ${at}`);
    const box = stop.getBoundingClientRect();
    if (box.width < 1 || box.height < 1) console.error(`is invisible with the focus: ${at}`);
}
const first = document.querySelector(stops);
const skipped = first.getAttribute("href");
if (!/^#[a-z]+$/.test(skipped) || !document.querySelector(`main > ${skipped}`))
    console.error("the first stop doesn't skip to the answer");
for (const figure of document.querySelectorAll("figure svg"))
    if (!figure.getAttribute("aria-label")) console.error("a figure has no name");
</script>
SCRIPT

# The page as it is, but for a script that says when it was painted first.
sed "s|$policy||" "$report" >"$work/paint.html"
cat >>"$work/paint.html" <<'SCRIPT'
<script>
new PerformanceObserver(seen => {
    for (const paint of seen.getEntriesByName("first-contentful-paint"))
        console.log(`first paint ${Math.round(paint.startTime)}`);
}).observe({ type: "paint", buffered: true });
</script>
SCRIPT

# Chromium has no window narrower than 500 px: a phone is a frame of 375 px.
frame() {
    printf '<!doctype html><title>phone</title><style>body{margin:0;background:#888}iframe{border:0;display:block}</style>'
    printf '<iframe src="page.html" width="375" height="%s"></iframe>\n' "$1"
}
frame 12000 >"$work/phone.html"

# browse NAME PAGE WIDTH HEIGHT SCHEME [MORE]: in Blink's settings 0 is dark and 1 is light. What the browser says is in NAME.log.
browse() {
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --hide-scrollbars --allow-file-access-from-files --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme="$5" --enable-logging=stderr \
        --window-size="$3,$4" --screenshot="$shots/$1.png" "${@:6}" "file://$work/$2" >"$work/$1.log" 2>&1 ||
        die "Chromium failed on $1: $(tail -n 3 "$work/$1.log")"
}

# A page on which the browser has nothing to say.
shot() {
    browse "$@"
    if grep CONSOLE "$work/$1.log" >&2; then
        die "the browser's console has messages for $1"
    fi
    [ -s "$shots/$1.png" ] || die "Chromium wrote no screenshot for $1"
}

shot light-first-screen page.html 1280 900 1
shot keyboard keyboard.html 1280 9000 1
shot light page.html 1280 9000 1
shot dark 'page.html?dark' 1280 9000 0
shot phone phone.html 500 12000 1
shot phone-dark phone.html 500 4000 0

# The picture is of later than the first paint, which must have been told by then.
browse paint paint.html 1280 900 1 --timeout=2000
rm -f "$shots/paint.png"
paint=$(grep -o 'first paint [0-9]*' "$work/paint.log" | head -n 1 | tr -dc 0-9) || true
echo "html-check: $size bytes; first paint ${paint:-not told by the browser}${paint:+ ms after it was opened}"
echo "html-check: no console message; screenshots in $shots"
