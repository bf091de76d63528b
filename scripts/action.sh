#!/usr/bin/env bash
# The steps of the GitHub Action (action.yml): everything that it does, to be run by hand too.
#
# Usage: scripts/action.sh install   builds Tollgate and puts it into the PATH of the steps that follow
#        scripts/action.sh gate      runs the gate; writes summary, annotations and outputs; ends with 0
#        scripts/action.sh result    ends with the gate's exit code
#
# Input comes through the environment, never through the text of a command: TOLLGATE_SCENARIO, TOLLGATE_POLICY,
# TOLLGATE_ARGUMENTS (one a line), TOLLGATE_PRIVILEGE (auto, root, rootless), TOLLGATE_EXIT (for `result`), and
# GitHub's own GITHUB_PATH, GITHUB_OUTPUT, GITHUB_STEP_SUMMARY and RUNNER_TEMP.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)

say() { printf 'tollgate: %s\n' "$*"; }

# As GitHub's runner undoes it.
fail() {
    local text=${1//'%'/%25}
    text=${text//$'\n'/%0A}
    printf '::error title=Tollgate::%s\n' "$text"
    exit 2
}

install() {
    if command -v tollgate >/dev/null && command -v tollgate-probe >/dev/null; then
        say "$(tollgate --version) is here"
        return
    fi
    "$here/scripts/setup.sh" bench
    export PATH="$PATH:$HOME/.cargo/bin"
    (cd "$here" && cargo build --release --locked -p tollgate -p tollgate-probes)
    echo "$here/target/release" >>"$GITHUB_PATH"
}

# Prints the words that go before `tollgate`, one a line: none where it runs as it is.
privilege() {
    local wanted=${TOLLGATE_PRIVILEGE:-auto}
    case $wanted in
        auto | root)
            if [ "$(id -u)" -eq 0 ]; then return; fi
            if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
                printf '%s\n' sudo -n env "PATH=$PATH"
                return
            fi
            [ "$wanted" = auto ] || fail 'privilege: root is not to be had here (no sudo without a password); use rootless'
            ;;
        rootless) ;;
        *) fail "privilege: \`$wanted\` is unknown; write auto, root or rootless" ;;
    esac
    unshare --user --map-root-user --net true 2>/dev/null ||
        fail 'privilege: this runner allows neither sudo nor user namespaces; the lab needs one of them'
}

gate() {
    [ -n "${TOLLGATE_SCENARIO:-}" ] || fail 'scenario: is missing; write the name of a shipped scenario or a file'
    local folder arguments=() before=() words line code=0
    folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/tollgate.XXXXXX")/gate
    words=$(privilege) || { echo "$words"; exit 2; }
    [ -z "$words" ] || mapfile -t before <<<"$words"
    [ -z "${TOLLGATE_POLICY:-}" ] || arguments+=(--policy "$TOLLGATE_POLICY")
    while IFS= read -r line; do
        [ -z "$line" ] || arguments+=("$line")
    done <<<"${TOLLGATE_ARGUMENTS:-}"
    "${before[@]}" tollgate gate "$TOLLGATE_SCENARIO" --out "$folder" "${arguments[@]}" || code=$?
    # What root wrote is the user's to upload.
    [ ${#before[@]} -eq 0 ] || "${before[@]}" chown -R "$(id -u):$(id -g)" "$(dirname "$folder")"
    echo "exit-code=$code" >>"$GITHUB_OUTPUT"
    if [ -f "$folder/gate.md" ]; then
        echo "folder=$folder" >>"$GITHUB_OUTPUT"
        cat "$folder/gate.md" >>"$GITHUB_STEP_SUMMARY"
        cat "$folder/annotations.txt"
    else
        printf '## ⚠️ Tollgate gate: no result\n\nIt ended with exit code %s; its message stands in the log.\n' \
            "$code" >>"$GITHUB_STEP_SUMMARY"
        printf '::error title=Tollgate::tollgate gate ended with exit code %s and no result; see the log\n' "$code"
    fi
}

result() { exit "${TOLLGATE_EXIT:-2}"; }

case ${1:-} in
    install | gate | result) "$1" ;;
    *)
        echo 'usage: scripts/action.sh install|gate|result' >&2
        exit 2
        ;;
esac
